// Draws the map: a square for each cluster in the box of its region and stage, worst first.
"use strict";
(() => {
  const canvas = document.getElementById("squares");
  if (!canvas) return;
  const says = document.getElementById("square");
  const words = JSON.parse(canvas.dataset.words);
  const LIVES = words.lives.length;
  // Widest square first: the first with which the whole map is no higher than a screen.
  const PITCHES = [26, 22, 18, 15, 12, 10, 8, 7, 6];
  const HEIGHT_WANTED = 760, BOX_MIN = 232, GAP = 12, PAD = 12, HEAD = 34;
  const GLYPH_MIN = 15;

  let all = []; // by number
  let boxes = []; // by number: name, squares, the same in order, and the mark that is drawn at each place
  let laid = [];
  let onCanvas = ""; // the layout of what is drawn
  let ink = {};
  let hatching = null;
  let pitch = PITCHES[0];
  let waiting = false;

  const state = (one) => words.states[Math.floor(one.mark / LIVES)];
  const life = (one) => words.lives[one.mark % LIVES];
  const isBad = (one) => state(one)[3] || life(one)[3];

  const rank = (one) => life(one)[1] * words.states.length + Math.floor(one.mark / LIVES);
  const worse = (one, other) => one.rank - other.rank || (one.name < other.name ? -1 : 1);

  function age(since) {
    const s = Math.max(0, Math.floor(Date.now() / 1000) - since);
    if (s < 100) return s + " s";
    if (s < 6000) return Math.floor(s / 60) + " min";
    return s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " d";
  }

  const label = (one) =>
    one.name + ": " + state(one)[0] + "; " + life(one)[0] + (one.since ? " for " + age(one.since) : "");

  // Colours are the style sheet's; a canvas has to be told them.
  function dress() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["raised", "sunken", "ink", "muted", "line", "hatch", "silent", "stale", "forked", "refused", "drifted", "pending", "applied"]) {
      ink[name] = style.getPropertyValue("--" + name).trim();
    }
    ink.font = getComputedStyle(canvas).fontFamily;
    const tile = document.createElement("canvas");
    tile.width = tile.height = 5;
    const to = tile.getContext("2d");
    to.strokeStyle = ink.hatch;
    to.lineWidth = 1.6;
    for (const at of [-5, 0, 5]) {
      to.moveTo(at - 1, 6);
      to.lineTo(at + 6, -1);
    }
    to.stroke();
    hatching = tile;
    onCanvas = "";
  }

  // Where each box is, and how large a square.
  function lay() {
    const width = canvas.parentElement.clientWidth;
    const filled = boxes.filter((box) => box.squares.length).sort((one, other) => (one.name.join() < other.name.join() ? -1 : 1));
    const columns = Math.max(1, Math.min(filled.length, Math.floor((width + GAP) / (BOX_MIN + GAP))));
    const wide = Math.floor((width + GAP) / columns) - GAP;
    const arrange = (size) => {
      const across = Math.max(1, Math.floor((wide - 2 * PAD) / size));
      let y = 0;
      laid = [];
      for (let from = 0; from < filled.length; from += columns) {
        const row = filled.slice(from, from + columns);
        const deep = Math.max(...row.map((box) => Math.ceil(box.squares.length / across)));
        const high = HEAD + deep * size + PAD;
        row.forEach((box, place) => laid.push({ box, x: place * (wide + GAP), y, wide, high, across }));
        y += high + GAP;
      }
      return Math.max(y - GAP, 0);
    };
    let high = 0;
    for (pitch of PITCHES) {
      high = arrange(pitch);
      if (high <= HEIGHT_WANTED) break;
    }
    return [width, high];
  }

  function square(to, x, y, size, one) {
    const [, glyph, name] = state(one);
    const drawn = life(one)[2];
    const large = size >= GLYPH_MIN - 3;
    const round = large ? 4 : size >= 8 ? 2 : 0;
    const shape = () => {
      to.beginPath();
      to.roundRect(x + 0.5, y + 0.5, size - 1, size - 1, round);
    };
    const fill = (colour, alpha) => {
      to.globalAlpha = alpha;
      to.fillStyle = colour;
      if (round) shape(), to.fill();
      else to.fillRect(x + 0.5, y + 0.5, size - 1, size - 1);
      to.globalAlpha = 1;
    };
    const edge = (colour, alpha, dashes) => {
      to.globalAlpha = alpha;
      to.strokeStyle = colour;
      to.setLineDash(dashes);
      if (round) shape(), to.stroke();
      else to.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
      to.globalAlpha = 1;
    };
    if (drawn === "hatched") {
      // The last known state shines through where it was bad; what was good is not known to be so.
      fill(ink.raised, 1);
      if (name !== "applied") fill(ink[name], 0.35);
      fill(ink.hatching, 1);
      edge(life(one)[0] === "silent" ? ink.silent : ink.forked, large ? 0.8 : 0.5, large ? [3, 2] : []);
    } else if (drawn === "aside") {
      fill(ink.sunken, 1);
      edge(ink.hatch, 1, large ? [3, 2] : []);
    } else {
      const isGood = name === "applied" || name === "muted";
      fill(ink[name], large ? 0.14 : isGood ? 0.5 : 0.95);
      edge(drawn === "stale" ? ink.stale : ink[name], drawn === "stale" ? 1 : 0.45, drawn === "stale" && large ? [3, 2] : []);
    }
    if (!large) return;
    const middle = [x + size / 2, y + size / 2 + 0.5];
    if (drawn === "hatched") {
      to.fillStyle = ink.raised;
      to.beginPath();
      to.roundRect(middle[0] - 5, middle[1] - 6.5, 10, 12, 3);
      to.fill();
    }
    to.fillStyle = drawn === "hatched" ? ink.silent : drawn === "aside" ? ink.muted : ink[name];
    to.fillText(glyph, ...middle);
  }

  function draw() {
    waiting = false;
    for (const box of boxes) if (box.isOld) box.squares = [...box.members].sort(worse);
    const [width, high] = lay();
    const scale = devicePixelRatio || 1;
    const to = canvas.getContext("2d");
    const layout = JSON.stringify([width, high, scale, pitch, laid.map(({ box, ...place }) => [box.number, place])]);
    if (layout !== onCanvas) {
      const size = [Math.round(width * scale), Math.round(high * scale)];
      // Another size is another picture in memory.
      if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
      to.setTransform(scale, 0, 0, scale, 0, 0);
      to.clearRect(0, 0, width, high);
      ink.hatching = to.createPattern(hatching, "repeat");
      to.lineWidth = 1;
      laid.forEach((place) => frame(to, place));
      onCanvas = layout;
    }
    for (const place of laid) if (place.box.isOld) paint(to, place);
    for (const box of boxes) box.isOld = false;
  }

  // A box with nothing in it yet.
  function frame(to, { box, x, y, wide, high }) {
    to.setLineDash([]);
    to.fillStyle = ink.raised;
    to.strokeStyle = ink.line;
    to.beginPath();
    to.roundRect(x + 0.5, y + 0.5, wide - 1, high - 1, 8);
    to.fill();
    to.stroke();
    box.marks = [];
    box.isOld = true;
  }

  // The head of a box, and its squares where another mark is drawn: most that moved stand where one like them stood.
  function paint(to, { box, x, y, wide, across }) {
    to.fillStyle = ink.raised;
    to.fillRect(x + 3, y + 6, wide - 6, HEAD - 8);
    head(to, box, x + PAD, y + 21, wide - 2 * PAD);
    to.font = "11px " + ink.font;
    to.textAlign = "center";
    to.textBaseline = "middle";
    const size = pitch - (pitch >= 10 ? 3 : pitch > 6 ? 2 : 1);
    const gap = (pitch - size) / 2;
    for (let place = 0; place < Math.max(box.squares.length, box.marks.length); place++) {
      const one = box.squares[place];
      const at = [x + PAD + (place % across) * pitch, y + HEAD + Math.floor(place / across) * pitch];
      if (one) [one.x, one.y, one.size] = [...at, size];
      if (one && one.mark === box.marks[place]) continue;
      if (box.marks[place] !== undefined) {
        to.fillStyle = ink.raised;
        to.fillRect(at[0] - gap, at[1] - gap, pitch, pitch);
      }
      if (one) square(to, ...at, size, one);
    }
    box.marks = box.squares.map((one) => one.mark);
  }

  function head(to, box, x, y, wide) {
    const [region, stage] = box.name;
    const bad = box.squares.filter(isBad).length;
    to.textBaseline = "alphabetic";
    to.textAlign = "left";
    to.font = "600 13px " + ink.font;
    to.fillStyle = ink.ink;
    to.fillText(region, x, y);
    const from = to.measureText(region + " ").width + 3;
    to.font = "13px " + ink.font;
    to.fillStyle = ink.muted;
    to.fillText(stage, x + from, y);
    to.font = "12px " + ink.font;
    to.textAlign = "right";
    const told = bad ? " · " + bad + " to look at" : "";
    to.fillText(box.squares.length, x + wide - to.measureText(told).width, y);
    to.fillStyle = ink.refused;
    to.fillText(told, x + wide, y);
  }

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  }

  document.addEventListener("squares", ({ detail }) => {
    if (detail.whole) [all, boxes, onCanvas] = [[], [], ""];
    for (const name of detail.boxes) boxes.push({ name, number: boxes.length, members: new Set(), squares: [], marks: [] });
    for (const [number, mark, since, box, name] of detail.set) {
      const one = (all[number] ||= {});
      if (name !== undefined) {
        const before = boxes[one.box];
        if (before) {
          before.members.delete(one);
          before.isOld = true;
        }
        [one.name, one.box] = [name, box];
      }
      [one.mark, one.since] = [mark, since || 0];
      const of = boxes[one.box];
      if (mark < 0) of.members.delete(one);
      else of.members.add(one);
      one.rank = mark < 0 ? 0 : rank(one);
      of.isOld = true;
    }
    canvas.parentElement.hidden = !detail.set.length && !all.length;
    redraw();
  });

  // What is under the pointer: a square, or the head of a box.
  function under(event) {
    const x = event.offsetX, y = event.offsetY;
    const at = laid.find((one) => x >= one.x && x < one.x + one.wide && y >= one.y && y < one.y + one.high);
    if (!at) return {};
    if (y < at.y + HEAD) return { box: at.box };
    const column = Math.floor((x - at.x - PAD) / pitch);
    const row = Math.floor((y - at.y - HEAD) / pitch);
    const isInside = column >= 0 && column < at.across;
    return { one: isInside ? at.box.squares[row * at.across + column] : undefined };
  }

  function address({ one, box }) {
    if (one) return "/clusters/" + encodeURIComponent(one.name);
    const query = new URLSearchParams(location.search);
    query.delete("page");
    query.set("region", box.name[0]);
    query.set("stage", box.name[1]);
    return "/?" + query;
  }

  canvas.addEventListener("pointermove", (event) => {
    const found = under(event);
    canvas.classList.toggle("is-link", !!(found.one || found.box));
    says.textContent = found.one ? label(found.one) : says.dataset.rest;
  });
  canvas.addEventListener("pointerleave", () => (says.textContent = says.dataset.rest));
  canvas.addEventListener("click", (event) => {
    const found = under(event);
    if (!found.one && !found.box) return;
    if (event.ctrlKey || event.metaKey) open(address(found));
    else location.assign(address(found));
  });

  // What is drawn of a cluster, and where: what a picture alone does not tell.
  canvas.squareOf = (name) => {
    const one = all.find((one) => one && one.name === name && one.mark >= 0);
    return one && { state: state(one)[0], life: life(one)[0], drawn: life(one)[2], says: label(one), x: one.x, y: one.y, size: one.size };
  };
  canvas.squareCount = () => all.filter((one) => one && one.mark >= 0).length;

  says.textContent = says.dataset.rest;
  dress();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    dress();
    redraw();
  });
  // The browser may give up what is drawn.
  canvas.addEventListener("contextrestored", () => {
    onCanvas = "";
    redraw();
  });
  new ResizeObserver(redraw).observe(canvas.parentElement);
})();
