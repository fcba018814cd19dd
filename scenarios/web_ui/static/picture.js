// The picture of the stack: the position of each part and link, and its look in each state.
const SVG = "http://www.w3.org/2000/svg";

export const PARTS = {
  nginx: { role: "front door", about: "nginx takes every request and forwards it to a web process." },
  "web-1": { role: "web process", about: "One of two web processes that answer redirects." },
  "web-2": { role: "web process", about: "One of two web processes that answer redirects." },
  worker: { role: "counts clicks", about: "The worker reads clicks from the queue and counts them in the primary." },
  toxiproxy: { role: "every link", about: "Toxiproxy carries every link. Without it, nothing reaches a database or the cache." },
  redis: { role: "cache, queue", about: "Redis holds the cache of links and the queue of clicks." },
  "postgres-2": { role: "no role", about: "A server of Postgres, at first the replica: the primary's copy, where cache misses are looked up." },
  "postgres-1": { role: "no role", about: "A server of Postgres, at first the primary: the database for all writes." },
};

export const LINKS = {
  cache: "From the web processes to the cache in Redis: every redirect reads it first.",
  queue: "From the web processes and the worker to the queue in Redis: every click goes through it.",
  replica: "From the web processes to the replica: look-ups of what is not in the cache.",
  primary: "From the web processes to the primary: new links, and codes that the replica lacks.",
  "worker-primary": "From the worker to the primary: counted clicks.",
  replication: "From the replica to the primary: the stream of changes for the copy.",
};

// x, y, width, height
const WIDE = {
  size: [1000, 400],
  boxes: {
    traffic: [0, 134, 110, 56], nginx: [150, 134, 110, 56],
    "web-1": [320, 74, 120, 56], "web-2": [320, 194, 120, 56], worker: [320, 326, 120, 56],
    toxiproxy: [520, 0, 220, 400],
    redis: [830, 66, 150, 64], "postgres-2": [830, 186, 150, 56], "postgres-1": [830, 326, 150, 56],
  },
  web: [306, 56, 148, 212],
  links: {
    cache: [535, 52, 190, 46], queue: [535, 116, 190, 46], replica: [535, 191, 190, 46],
    primary: [535, 262, 190, 46], "worker-primary": [535, 331, 190, 46],
    replication: [815, 261, 180, 46],
  },
};
const NARROW = {
  size: [360, 430],
  boxes: {
    traffic: [0, 8, 88, 46], nginx: [0, 78, 88, 46],
    "web-1": [6, 166, 76, 46], "web-2": [6, 222, 76, 46], worker: [0, 366, 88, 46],
    toxiproxy: [112, 0, 128, 430],
    redis: [268, 76, 92, 50], "postgres-2": [268, 178, 92, 50], "postgres-1": [268, 366, 92, 50],
  },
  web: [0, 150, 88, 130],
  links: {
    cache: [118, 46, 116, 46], queue: [118, 112, 116, 46], replica: [118, 180, 116, 46],
    primary: [118, 300, 116, 46], "worker-primary": [118, 368, 116, 46],
    replication: [262, 272, 98, 46],
  },
};
// both ends of each link, as long as nothing leads it elsewhere
const ENDS = {
  cache: [["web"], "redis"], queue: [["web", "worker"], "redis"], replica: [["web"], "postgres-2"],
  primary: [["web"], "postgres-1"], "worker-primary": [["worker"], "postgres-1"],
};
const SIGN = { paused: "❚❚", slow: "", down: "✕", unknown: "?" };

export function describe(kind, now) {
  if (!now) return { look: "unknown", words: "unknown" };
  if (kind === "part") return { look: now, words: now };
  const slow = latency(now.toxics);
  if (!now.open) return { look: "down", words: "cut" };
  if (slow) return { look: "slow", words: `slow ${slow}` };
  if (now.toxics.length) return { look: "slow", words: now.toxics.join(", ") };
  return { look: "up", words: "open" };
}

function latency(toxics) {
  const found = toxics.map((toxic) => /^latency .*\blatency=(\d+)/.exec(toxic)).filter(Boolean);
  return found.length === toxics.length && found.length
    ? `+${found.reduce((sum, each) => sum + Number(each[1]), 0)} ms` : "";
}

export class Picture {
  constructor(svg, choose) {
    this.svg = svg;
    this.choose = choose;
    this.leads = {};
    this.narrow = matchMedia("(max-width: 799px)");
    this.narrow.addEventListener("change", () => this.lay());
    this.lay();
  }

  lay() {
    const plan = this.narrow.matches ? NARROW : WIDE;
    const [width, height] = plan.size;
    this.svg.setAttribute("viewBox", `-4 -4 ${width + 8} ${height + 8}`);
    this.svg.classList.toggle("narrow", this.narrow.matches);
    this.svg.replaceChildren();
    this.things = new Map();
    this.lines = new Map();
    this.part("toxiproxy", plan.boxes.toxiproxy, true);
    this.wires(plan);
    add(this.svg, "rect", { ...box(plan.web), rx: 8, class: "group" });
    this.traffic = this.thing(plan.boxes.traffic, "Locust", "traffic");
    for (const name of Object.keys(PARTS)) {
      if (name !== "toxiproxy") this.part(name, plan.boxes[name], false);
    }
    for (const [name, where] of Object.entries(plan.links)) this.link(name, where);
    if (this.seen) this.show(...this.seen);
  }

  wires(plan) {
    const { boxes, links, web } = plan;
    const wire = (link, from, to) => {
      const bend = (to[0] - from[0]) / 2;
      const path = add(this.svg, "path", {
        class: "wire",
        d: `M${from} C${from[0] + bend},${from[1]} ${to[0] - bend},${to[1]} ${to}`,
      });
      if (link) this.lines.set(link, [...(this.lines.get(link) || []), path]);
    };
    const straight = (link, from, to) => {
      const path = add(this.svg, "path", { class: "wire", d: `M${from} L${to}` });
      if (link) this.lines.set(link, [...(this.lines.get(link) || []), path]);
    };
    if (this.narrow.matches) {
      straight(null, bottom(boxes.traffic), top(boxes.nginx));
      straight(null, bottom(boxes.nginx), top(web));
    } else {
      straight(null, right(boxes.traffic), left(boxes.nginx));
      straight(null, right(boxes.nginx), left(web));
    }
    for (const [link, [from, to]] of Object.entries(ENDS)) {
      for (const name of from) wire(link, right(name === "web" ? web : boxes[name]), left(links[link]));
      wire(link, right(links[link]), left(boxes[this.leads[link]] || boxes[to]));
    }
    straight("replication", bottom(boxes["postgres-2"]), top(links.replication));
    straight("replication", bottom(links.replication), top(boxes["postgres-1"]));
  }

  thing(where, title, classes) {
    const group = add(this.svg, "g", { class: `thing ${classes}` });
    const [x, y, width, height] = where;
    add(group, "rect", { ...box(where), rx: classes.includes("link") ? height / 2 : 6 });
    const name = add(group, "text", { x: x + width / 2, y: y + height / 2 - 5, class: "name" });
    name.textContent = title;
    const words = add(group, "text", { x: x + width / 2, y: y + height / 2 + 13, class: "words" });
    return { group, words };
  }

  part(name, where, frame) {
    const thing = this.thing(where, name, "part");
    if (frame) {
      const [, y] = where;
      thing.group.classList.add("frame");
      thing.group.querySelector(".name").setAttribute("y", y + 18);
      thing.words.setAttribute("y", y + 34);
    }
    this.clickable(thing, `part:${name}`);
  }

  link(name, where) {
    this.clickable(this.thing(where, name, "link"), `link:${name}`);
  }

  clickable(thing, key) {
    this.things.set(key, thing);
    thing.group.setAttribute("role", "button");
    thing.group.setAttribute("tabindex", "0");
    thing.group.addEventListener("click", () => this.choose(key));
    thing.group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.choose(key);
    });
  }

  show(state, chosen) {
    this.seen = [state, chosen];
    const moved = Object.entries(state.links).filter(([name, { to }]) => this.leads[name] !== to);
    if (moved.length) {
      for (const [name, { to }] of moved) this.leads[name] = to;
      this.lay();
      return;
    }
    const roles = Object.entries(state.roles || {});
    for (const [key, thing] of this.things) {
      const [kind, name] = split(key);
      const now = describe(kind, (kind === "part" ? state.parts : state.links)[name]);
      thing.group.classList.remove("up", "paused", "slow", "down", "unknown");
      thing.group.classList.add(now.look);
      const has = roles.find(([, server]) => server === name);
      const role = kind !== "part" ? now.words : has ? has[0] : PARTS[name].role;
      text(thing.words, now.look === "up" ? role : `${SIGN[now.look]} ${now.words}`.trim());
      thing.group.classList.toggle("chosen", key === chosen);
      thing.group.setAttribute("aria-pressed", String(key === chosen));
      thing.group.setAttribute("aria-label", `${kind} ${name}: ${now.words}`);
      for (const line of this.lines.get(kind === "link" ? name : "") || []) {
        line.setAttribute("class", `wire ${now.look}`);
      }
    }
    text(this.traffic.words, traffic(state.traffic));
  }
}

export const split = (key) => {
  const at = key.indexOf(":");
  return [key.slice(0, at), key.slice(at + 1)];
};

export const traffic = (now) => (["running", "spawning"].includes(now.state)
  ? `${Math.round(now.rate_per_s)}/s` : "no traffic");

export function text(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

function add(parent, tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return parent.appendChild(element);
}

const box = ([x, y, width, height]) => ({ x, y, width, height });
const left = ([x, y, , height]) => [x, y + height / 2];
const right = ([x, y, width, height]) => [x + width, y + height / 2];
const top = ([x, y, width]) => [x + width / 2, y];
const bottom = ([x, y, width, height]) => [x + width / 2, y + height];
