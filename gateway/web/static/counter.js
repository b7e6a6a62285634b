// The counter page: paints frames, sends what is typed or pressed, and keeps the cursor in the code field.
"use strict";

(() => {
  const IDLE_MS = 5 * 60 * 1000;
  const kiosk = document.getElementById("kiosk");
  const code = document.getElementById("code");
  let idle;

  const awake = () => {
    kiosk.classList.remove("idle");
    clearTimeout(idle);
    idle = setTimeout(() => kiosk.classList.add("idle"), IDLE_MS);
  };

  const show = (frame) => {
    if (!frame.regions) return; // the ledger cannot be read just now: what is shown stays
    kiosk.dataset.mode = frame.mode;
    for (const button of kiosk.querySelectorAll("[data-for]")) {
      const on = button.dataset.for === frame.mode;
      if (button.localName === "details") button.toggleAttribute("data-pressed", on);
      else button.setAttribute("aria-pressed", String(on));
    }
    for (const [name, html] of Object.entries(frame.regions)) {
      const place = kiosk.querySelector(`[data-region="${name}"]`);
      if (storekeeper.swap(place, html) && name === "card") {
        place.firstElementChild?.classList.add("fresh");
        awake();
      }
    }
    const said = kiosk.querySelector('[data-region="said"]');
    if (said.textContent !== frame.said) said.textContent = frame.said;
  };
  storekeeper.follow(kiosk.dataset.liveFrom, show);

  const send = async (form, value) => {
    const body = new URLSearchParams({ code: value, station: form.elements.station.value, id: once() });
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { accept: "application/json" } });
      const said = await answer.json();
      if (said.href) location.assign(said.href); // a word, no code: the stock is searched for it
      else if (!answer.ok) tell(said.text);
    } catch {
      storekeeper.lost.hidden = false;
    }
  };

  // What the page itself has to say: nobody answered, or the form was refused. Outcomes come as frames.
  let telling;
  const tell = (text) => {
    const told = document.getElementById("told");
    told.textContent = text;
    told.hidden = false;
    clearTimeout(telling);
    telling = setTimeout(() => { told.hidden = true; }, 12000);
  };
  const once = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16).padStart(8, "0")).join("");

  for (const form of document.querySelectorAll("form[data-scan]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      awake();
      const fromMenu = event.submitter?.closest("details");
      closeMenus();
      if (fromMenu) code.focus();
      if (event.submitter?.name === "code") { send(form, event.submitter.value); return; }
      const typed = code.value.trim();
      code.value = "";
      if (typed) send(form, typed);
    });
  }

  const closeMenus = (but) => {
    for (const open of kiosk.querySelectorAll("details[open]")) if (open !== but) open.open = false;
  };

  // Keys: those of the footer stand on its buttons, and a list opens with its first choice in hand; Escape closes
  // it; a letter or digit anywhere begins a code.
  document.addEventListener("keydown", (event) => {
    awake();
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape" && kiosk.querySelector("details[open]")) { closeMenus(); code.focus(); }
    const button = kiosk.querySelector(`[aria-keyshortcuts="${event.key}"]`);
    if (button) {
      event.preventDefault();
      const menu = button.localName === "summary" ? button.parentElement : null;
      closeMenus(menu);
      button.click();
      if (menu) (menu.open ? menu.querySelector("button") : code).focus();
      return;
    }
    const inField = /INPUT|SELECT|TEXTAREA/.test(document.activeElement?.tagName ?? "");
    if (!inField && /^[\p{L}\p{N}/]$/u.test(event.key)) code.focus();
  });
  document.addEventListener("pointerdown", (event) => {
    awake();
    closeMenus(event.target.closest("details"));
  });
  awake();
  if (matchMedia("(hover: hover)").matches) code.focus();
})();
