// What every page does by itself: tells the time, follows the shop, and says when it no longer hears of it.
"use strict";

const storekeeper = (() => {
  const SILENCE_MS = 25000;
  const lost = document.getElementById("lost");
  const hours = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: document.body.dataset.zone };
  const clock = (when) => when.toLocaleTimeString("en-GB", hours); // the shop's time, wherever the reader is

  const tick = () => {
    for (const face of document.querySelectorAll("[data-clock]")) face.textContent = clock(new Date());
  };
  setInterval(tick, 5000);
  tick();

  // Server-sent events with one more question: is it still there? (a dead line looks like a quiet one)
  const follow = (address, onFrame) => {
    let heard = Date.now();
    let source;
    const open = () => {
      source = new EventSource(address);
      source.onopen = () => { heard = Date.now(); lost.hidden = true; };
      source.onmessage = (message) => { heard = Date.now(); lost.hidden = true; onFrame(JSON.parse(message.data)); };
      source.addEventListener("alive", () => { heard = Date.now(); });
      source.onerror = () => {
        if (lost.hidden) {
          lost.querySelector("time").textContent = clock(new Date());
          lost.hidden = false;
        }
        if (source.readyState === EventSource.CLOSED) setTimeout(open, 1000);
      };
    };
    open();
    setInterval(() => {
      if (Date.now() - heard > SILENCE_MS) { heard = Date.now(); source.close(); source.onerror(); }
    }, 5000);
  };

  // Puts new content in place without moving what the reader has under the finger.
  const swap = (place, html) => {
    if (place.dataset.html === undefined) place.dataset.html = "";
    if (place.shown === html) return false;
    const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
    place.innerHTML = html;
    place.shown = html;
    if (focused) document.getElementById(focused)?.focus();
    return true;
  };

  // Shop pages: when the ledger moved, ask for this page again and take over its live parts.
  const parts = document.querySelectorAll("main [data-live][id], header [data-live][id]");
  if (parts.length && !document.getElementById("kiosk")) {
    let asking = false;
    let again = false;
    const refresh = async () => {
      if (asking) { again = true; return; }
      asking = true;
      try {
        const answer = await fetch(location.href, { headers: { accept: "text/html" } });
        if (answer.ok) {
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
          for (const part of document.querySelectorAll("[data-live][id]")) {
            const now = fresh.getElementById(part.id);
            const typing = part.contains(document.activeElement) && /INPUT|SELECT/.test(document.activeElement.tagName);
            if (now && !typing && now.innerHTML !== part.innerHTML) swap(part, now.innerHTML);
          }
        }
      } catch { /* the line is down: `follow` says so */ }
      await new Promise((done) => setTimeout(done, 700));
      asking = false;
      if (again) { again = false; refresh(); }
    };
    let seen = document.body.dataset.version; // of the shop when this page was made: it may have moved on since
    follow("/live/pulse", ({ version }) => {
      if (String(version) !== seen) refresh();
      seen = "";
    });
  }

  return { follow, swap, lost };
})();
