// What a user of the Node client does: node client.js API_URL UPSTREAM; each step is a line.
const net = require("node:net");
const { Toxiproxy } = require("toxiproxy-node-client");

const KINDS = [
  ["latency", { latency: 80, jitter: 0 }],
  ["bandwidth", { rate: 1000 }],
  ["slow_close", { delay: 10 }],
  ["timeout", { timeout: 0 }],
  ["reset_peer", { timeout: 10 }],
  ["slicer", { average_size: 10, size_variation: 2, delay: 10 }],
  ["limit_data", { bytes: 1000 }],
];

function echoMs(listen) {
  const [host, port] = listen.split(":");
  return new Promise((resolve, reject) => {
    const begin = process.hrtime.bigint();
    const socket = net.connect(Number(port), host, () => socket.write("ping"));
    socket.on("data", () => {
      resolve(Number(process.hrtime.bigint() - begin) / 1e6);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

async function main([url, upstream]) {
  const toxiproxy = new Toxiproxy(url);
  console.log("version", "version" in JSON.parse(await toxiproxy.getVersion()));
  const made = await toxiproxy.createProxy({ name: "made", listen: "127.0.0.1:0", upstream });
  console.log("create", made.enabled && (await echoMs(made.listen)) > 0);
  for (const [type, attributes] of KINDS) {
    const toxic = await made.addToxic({ name: `a_${type}`, type, stream: "upstream", toxicity: 1, attributes });
    const found = await made.getToxic(toxic.name);
    console.log("toxic", type, JSON.stringify(found.attributes) === JSON.stringify(attributes));
    if (type === "latency") {
      console.log("slow", (await echoMs(made.listen)) >= 80);
      const body = { ...toxic.toJson(), attributes: { latency: 160, jitter: 0 } };
      console.log("update", (await toxic.update(body)).attributes.latency, (await echoMs(made.listen)) >= 160);
    }
    await toxic.remove();
  }
  await made.addToxic({ name: "gone", type: "timeout", stream: "downstream", toxicity: 1, attributes: { timeout: 0 } });
  await made.update({ enabled: false, listen: made.listen, upstream });
  await toxiproxy.reset();
  const again = await toxiproxy.get("made");
  console.log("reset", again.enabled, (await echoMs(again.listen)) > 0);
  const populated = await toxiproxy.populate([{ name: "one", listen: "127.0.0.1:0", upstream }]);
  console.log("populate", Object.keys(populated).join(), Object.keys(await toxiproxy.getAll()).sort().join());
  for (const proxy of Object.values(await toxiproxy.getAll())) await proxy.remove();
  console.log("remove", Object.keys(await toxiproxy.getAll()).length);
  console.log("refused", await toxiproxy.get("made").catch((error) => error.message));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
