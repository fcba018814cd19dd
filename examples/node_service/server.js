// A small shop: items of a catalogue, found by number. It needs nothing but Node.
"use strict";

const http = require("node:http");

const prices = Array.from({ length: 1000 }, (_, number) => 1 + (number % 97));
let asked = 0;

function answer(url) {
  if (url === "/healthz") return [200, { status: "ok" }];
  if (url === "/counters") return [200, `items_asked_total ${asked}\n`];
  const number = Number(url.slice("/items/".length));
  asked += 1;
  if (!(number in prices)) return [404, { error: "there is no such item" }];
  return [200, { number, price: prices[number] }];
}

const server = http.createServer((request, response) => {
  const [status, body] = answer(request.url);
  response.writeHead(status, { "Content-Type": typeof body === "string" ? "text/plain" : "application/json" });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2]), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
