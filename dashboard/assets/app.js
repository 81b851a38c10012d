// Keeps a page as new as the fleet: replaces the parts that changed, and says so when they can't be.
"use strict";
(() => {
  const cut = document.getElementById("cut");
  const root = document.documentElement;
  // A server says something at least every 5 s.
  const QUIET_MAX_MS = 12000;
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

  // What a person has opened or is in stays so.
  function replace(part, html) {
    const key = (details) => (details.querySelector("summary a") || details.querySelector("summary")).textContent;
    const open = new Map([...part.querySelectorAll("details")].map((one) => [key(one), one.open]));
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    part.innerHTML = html;
    for (const one of part.querySelectorAll("details")) {
      if (open.has(key(one))) one.open = open.get(key(one));
    }
    if (focused) {
      const again = [...part.querySelectorAll("a")].find((one) => one.getAttribute("href") === focused);
      if (again) again.focus({ preventScroll: true });
    }
  }

  const stream = new EventSource("/live" + location.pathname + location.search);
  stream.addEventListener("part", (event) => {
    heard();
    const { id, html } = JSON.parse(event.data);
    const part = document.getElementById(id);
    if (part && part.innerHTML !== html) replace(part, html);
  });
  stream.addEventListener("squares", (event) => {
    heard();
    document.dispatchEvent(new CustomEvent("squares", { detail: JSON.parse(event.data) }));
  });
  stream.addEventListener("beat", heard);
  stream.addEventListener("error", lost);
  // Who looks has to sign in again.
  stream.addEventListener("over", (event) => location.assign(event.data));
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
