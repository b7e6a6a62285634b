// The model's page: while a night is under way, how far it is. No commit tells of it, so the page asks.
"use strict";

(() => {
  const ASK_EVERY_MS = 2000;
  const part = document.getElementById("night");
  let asking = false;

  const ask = async () => {
    if (asking || document.hidden || !part.querySelector("[data-running]")) return;
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        const now = fresh.getElementById("night");
        if (!now.querySelector("[data-running]")) location.reload(); // the night is over: all of the page is new
        else storekeeper.swap(part, now.innerHTML);
      }
    } catch { /* the line is down: the bar says so */ }
    asking = false;
  };
  setInterval(ask, ASK_EVERY_MS);
})();
