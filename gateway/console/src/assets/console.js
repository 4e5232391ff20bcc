// Refreshes what is shown while somebody looks. Nothing needs this file: every page is whole without it.
"use strict";

(() => {
  const main = document.getElementById("main");
  const said = document.getElementById("said");
  const lost = document.getElementById("lost");

  // Printing is the one button that only a script can serve; without one it stays hidden.
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }

  const seconds = Number(main && main.dataset.live);
  if (!seconds) {
    return;
  }

  const say = (text) => {
    if (said.textContent !== text) {
      said.textContent = text;
    }
  };
  const warn = (text) => {
    lost.textContent = text;
    lost.hidden = !text;
    if (text) {
      say(text);
    }
  };

  // A reader who is writing, choosing or about to act is not disturbed.
  const isBusy = (region) => {
    const focused = document.activeElement;
    return (
      region.querySelector("details.actions[open]") !== null ||
      (region.contains(focused) && focused.matches("input, select, textarea"))
    );
  };

  // Where the focus stands, so that it can stand there again: by id, or by its place among what can be focused.
  const FOCUSABLE = "a[href], button, summary, [tabindex]";
  const remember = (region) => {
    const focused = document.activeElement;
    if (!region.contains(focused) || focused === region) {
      return null;
    }
    return { id: focused.id, place: [...region.querySelectorAll(FOCUSABLE)].indexOf(focused) };
  };
  const restore = (region, was) => {
    if (was === null) {
      return;
    }
    const target = (was.id && document.getElementById(was.id)) || region.querySelectorAll(FOCUSABLE)[was.place];
    if (target) {
      target.focus({ preventScroll: true });
    }
  };

  // What a region says besides times, which move all the time.
  const essence = (region) => {
    const copy = region.cloneNode(true);
    for (const moving of copy.querySelectorAll("time, .soon, .late")) {
      moving.remove();
    }
    return copy.textContent;
  };

  const replace = (fresh) => {
    let changed = false;
    for (const region of main.querySelectorAll("[data-region]")) {
      const next = fresh.getElementById(region.id);
      if (!next || isBusy(region) || next.innerHTML === region.innerHTML) {
        continue;
      }
      // Key numbers move all the time too; only a change of what there is to do is spoken.
      changed = changed || (region.dataset.quiet === undefined && essence(next) !== essence(region));
      const was = remember(region);
      const scrolled = [...region.querySelectorAll(".scroll")].map((part) => part.scrollLeft);
      region.replaceChildren(...[...next.childNodes].map((node) => document.importNode(node, true)));
      region.querySelectorAll(".scroll").forEach((part, index) => {
        part.scrollLeft = scrolled[index] || 0;
      });
      restore(region, was);
    }
    const now = fresh.getElementById("now");
    if (now) {
      document.getElementById("now").replaceChildren(...[...now.childNodes].map((node) => document.importNode(node, true)));
    }
    if (changed) {
      say(main.dataset.changed + " " + (now ? now.textContent : ""));
    }
  };

  const refresh = async () => {
    if (document.hidden) {
      return true;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), 15000);
    try {
      const answer = await fetch(location.href, {
        headers: { "x-lienthong-refresh": "1" },
        credentials: "same-origin",
        redirect: "error",
        cache: "no-store",
        signal: stop.signal,
      });
      if (answer.status === 401) {
        warn(main.dataset.signedOut);
        return false;
      }
      if (!answer.ok) {
        throw new Error(String(answer.status));
      }
      replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      warn("");
    } catch {
      warn(main.dataset.lost);
    } finally {
      clearTimeout(timer);
    }
    return true;
  };

  const tick = async () => {
    if (await refresh()) {
      setTimeout(tick, seconds * 1000);
    }
  };
  setTimeout(tick, seconds * 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      refresh();
    }
  });
})();
