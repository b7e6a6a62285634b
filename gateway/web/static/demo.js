// The demo strip. Pulling the plug kills the process that served this page, so the strip asks until one is back.
"use strict";

(() => {
  const strip = document.getElementById("demo");
  if (matchMedia("(max-width: 620px)").matches) strip.querySelector("details").open = false;
  const result = strip.querySelector(".result");
  const part = (name) => result.querySelector(`[data-part="${name}"]`);
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const state = async () => {
    const answer = await fetch("/demo/state", { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  };

  const label = (now) => {
    now.warm_on = now.fridge_celsius >= 8;
    for (const button of strip.querySelectorAll("[data-demo]")) {
      const on = now[`${button.dataset.demo}_on`] === true;
      button.textContent = on ? button.dataset.on : button.dataset.off;
    }
  };

  const tell = (plug) => {
    part("busy").hidden = true;
    for (const place of part("done").querySelectorAll("[data-value]")) {
      const value = plug[place.dataset.value];
      place.textContent = place.dataset.value.startsWith("seconds") ? `${Number(value).toFixed(1)} s` : String(value);
    }
    part("done").querySelector("[data-late]").hidden = plug.announced_late === 0;
    part("done").hidden = false;
    result.hidden = false;
  };

  const pull = async () => {
    const before = (await state().catch(() => ({}))).plug?.number ?? 0;
    part("done").hidden = true;
    part("busy").hidden = false;
    result.hidden = false;
    await fetch("/demo/do/plug", { method: "POST", headers: { accept: "application/json" } }).catch(() => {});
    for (let tries = 0; tries < 120; tries += 1) {
      await wait(250);
      const now = await state().catch(() => ({}));
      if ((now.plug?.number ?? 0) > before && now.plug.seconds_to_next_scan != null) { tell(now.plug); return; }
    }
    result.hidden = true;
  };

  strip.addEventListener("submit", async (event) => {
    event.preventDefault();
    const what = event.submitter.dataset.demo;
    event.submitter.disabled = true;
    try {
      if (what === "plug") await pull();
      else await fetch(`/demo/do/${what}`, { method: "POST", headers: { accept: "application/json" } });
      label(await state());
    } catch { /* the strip stays as it is; the page says when the line is down */ }
    event.submitter.disabled = false;
  });
  state().then(label).catch(() => {});
})();
