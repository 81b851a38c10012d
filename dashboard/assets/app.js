// Keeps a page as new as the fleet: replaces what changed of its parts, and says so when that can't be.
"use strict";
(() => {
  const cut = document.getElementById("cut");
  const root = document.documentElement;
  // A server says something at least every 5 s.
  const QUIET_MAX_MS = 12000;
  const AGAIN_MS = 1000;
  let lastHeard = Date.now();
  let isCut = false;

  const time = (ms) => new Date(ms).toISOString().slice(11, 19) + " UTC";

  function heard() {
    lastHeard = Date.now();
    if (!isCut) return;
    isCut = false;
    root.classList.remove("is-cut");
    cut.hidden = true;
  }

  function lost() {
    if (isCut) return;
    isCut = true;
    root.classList.add("is-cut");
    cut.textContent = "not live since " + time(lastHeard);
    cut.hidden = false;
  }

  function parsed(html) {
    const made = document.createElement("template");
    made.innerHTML = html;
    return made;
  }

  // Changes a part, and what a person has opened or is in stays so.
  function keeping(part, change) {
    const key = (details) => (details.querySelector("summary a") || details.querySelector("summary")).textContent;
    const open = new Map([...part.querySelectorAll("details")].map((one) => [key(one), one.open]));
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const address = focused && focused.getAttribute("href");
    change();
    for (const one of part.querySelectorAll("details")) {
      if (open.has(key(one))) one.open = open.get(key(one));
    }
    if (!focused) return;
    // An element that was moved loses the focus, and one that was changed may lead elsewhere now.
    const isIt = (one) => one.isConnected && one.getAttribute("href") === address;
    const again = isIt(focused) ? focused : [...part.querySelectorAll("a")].find(isIt);
    if (!again) document.activeElement.blur();
    else if (document.activeElement !== again) again.focus({ preventScroll: true });
  }

  // An element that changed is the one that it was, and so is what is in it.
  function renew(known, now) {
    for (const { name } of [...known.attributes]) if (!now.hasAttribute(name)) known.removeAttribute(name);
    for (const { name, value } of now.attributes) known.setAttribute(name, value);
    const [old, fresh] = [[...known.childNodes], [...now.childNodes]];
    fresh.forEach((one, at) => {
      if (!old[at]) known.append(one);
      else if (one.tagName && one.tagName === old[at].tagName) one.isEqualNode(old[at]) || renew(old[at], one);
      else old[at].replaceWith(one);
    });
    old.slice(fresh.length).forEach((one) => one.remove());
  }

  function merge(list, { order, html }) {
    const rows = new Map([...list.children].map((row) => [row.dataset.key, row]));
    for (const now of parsed(html).content.children) {
      const row = rows.get(now.dataset.key);
      if (row) renew(row, now);
      else rows.set(now.dataset.key, now);
    }
    if (!order) return;
    const wanted = new Set(order);
    for (const [key, row] of rows) if (!wanted.has(key)) row.remove();
    let next = list.firstElementChild;
    for (const row of order.map((key) => rows.get(key))) {
      // Where one alone stands in the way, it is that one that moves.
      if (next && next.nextElementSibling === row) {
        next.remove();
        next = row;
      }
      if (next === row) next = row.nextElementSibling;
      else list.insertBefore(row, next);
    }
  }

  function listen() {
    const stream = new EventSource("/live" + location.pathname + location.search);
    stream.addEventListener("part", (event) => {
      heard();
      try {
        show(JSON.parse(event.data));
      } catch {
        // Something else changed the page: a new stream begins with all of it.
        stream.close();
        setTimeout(listen, AGAIN_MS);
      }
    });
    stream.addEventListener("squares", (event) => {
      heard();
      document.dispatchEvent(new CustomEvent("squares", { detail: JSON.parse(event.data) }));
    });
    stream.addEventListener("beat", () => {
      heard();
      root.dataset.followed = "";
    });
    stream.addEventListener("error", lost);
    // Who looks has to sign in again.
    stream.addEventListener("over", (event) => location.assign(event.data));
  }

  function show({ id, html, lists }) {
    const part = document.getElementById(id);
    if (!part) return;
    if (lists) {
      const all = part.querySelectorAll("[data-rows]");
      keeping(part, () => lists.forEach((list) => merge(all[list.at], list)));
      return;
    }
    const made = parsed(html);
    // The page may have been delivered with it.
    if (part.innerHTML !== made.innerHTML) keeping(part, () => part.replaceChildren(made.content));
  }

  listen();
  setInterval(() => {
    if (Date.now() - lastHeard > QUIET_MAX_MS) lost();
  }, 1000);

  // The drawer is as it was left.
  const drawer = document.querySelector(".drawer");
  drawer.open = sessionStorage.getItem("drawer") === "open";
  drawer.addEventListener("toggle", () => sessionStorage.setItem("drawer", drawer.open ? "open" : ""));

  // "/" searches, as everywhere.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /^(INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
    event.preventDefault();
    document.getElementById("q").focus();
  });
})();
