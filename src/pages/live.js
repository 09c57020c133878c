// Keeps what a page shows up to date. Without it every page works, and refreshes plainly.
"use strict";
(() => {
  const main = document.getElementById("main");
  const announce = document.getElementById("announce");
  const shown = new Map();
  let said = document.querySelector("[data-say]")?.dataset.say;

  // Puts fresh parts in the place of those they differ from; what is open stays open, what has the focus keeps it.
  function take(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const part of fresh.querySelectorAll("[data-part]")) {
      const old = document.getElementById(part.id);
      const html = part.outerHTML;
      if (!old || (shown.get(part.id) ?? old.outerHTML) === html) continue;
      shown.set(part.id, html);
      const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
      for (const details of old.querySelectorAll("details[open][id]")) {
        part.querySelector(`details[id="${CSS.escape(details.id)}"]`)?.setAttribute("open", "");
      }
      const scrolled = [...old.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
      const mine = document.importNode(part, true);
      old.replaceWith(mine);
      [...mine.querySelectorAll(".scroll")].forEach((box, n) => { box.scrollLeft = scrolled[n] ?? 0; });
      if (focused) (document.getElementById(focused) ?? main).focus({ preventScroll: true });
      const word = mine.dataset.say;
      if (word && word !== said) { said = word; announce.textContent = word; }
    }
  }

  // The page as it is now. Once the session is over it leads to signing in.
  async function look() {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.redirected) location.assign(answer.url);
    else if (answer.ok) take(await answer.text());
  }

  let timer;
  function every(secs) {
    clearInterval(timer);
    timer = setInterval(() => { if (!document.hidden) look().catch(() => {}); }, secs * 1000);
  }

  let events;
  function follow(path) {
    events = new EventSource(path);
    events.addEventListener("parts", (event) => take(event.data));
    events.addEventListener("end", (event) => { take(event.data); stop(); main.removeAttribute("data-events"); });
    events.onerror = () => { if (events?.readyState === EventSource.CLOSED) { stop(); every(5); } };
  }
  function stop() { events?.close(); events = undefined; }

  if (main.dataset.every) every(Number(main.dataset.every));
  if (main.dataset.events) {
    follow(main.dataset.events);
    // A browser opens six connections to a host: pages nobody looks at must not hold them.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) stop();
      else if (main.dataset.events && !events) follow(main.dataset.events);
    });
    addEventListener("pagehide", stop);
  }
})();
