// The domain console without this file is whole; with it, the pages that show
// what runs keep themselves up to date.
"use strict";
(() => {
  const every = 2000; // milliseconds between two looks
  const live = document.getElementById("live");
  const connection = document.getElementById("connection");
  const news = document.getElementById("news");

  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const words = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });

  // ago adds to each time how long ago it was.
  function ago() {
    for (const t of document.querySelectorAll("time[datetime]")) {
      const seconds = Math.round((Date.parse(t.dateTime) - Date.now()) / 1000);
      if (Number.isNaN(seconds)) continue;
      const [unit, size] = units.find(([, s]) => Math.abs(seconds) >= s) || units[3];
      t.title = t.title || t.textContent;
      t.textContent = words.format(Math.trunc(seconds / size), unit);
    }
  }

  const sourceOf = root => new Map([...root.querySelectorAll("[data-key]")].map(e => [e.dataset.key, e.outerHTML]));
  const statesOf = root => new Map([...root.querySelectorAll("[data-name]")].map(e => [e.dataset.name, e.textContent]));

  // keeping runs a change of the page and puts focus, scroll positions and open
  // details back where they were.
  function keeping(change) {
    const focused = document.activeElement && document.activeElement.id;
    const open = [...live.querySelectorAll("details[open][id]")].map(e => e.id);
    const scrolled = [...live.querySelectorAll("pre")].map(e => ({ name: e.getAttribute("aria-label"), top: e.scrollTop, end: e.scrollTop + e.clientHeight >= e.scrollHeight - 4 }));
    const chosen = [...live.querySelectorAll("select[id]")].map(e => [e.id, e.value]);
    change();
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    for (const [id, value] of chosen) { const e = document.getElementById(id); if (e) e.value = value; }
    for (const pre of live.querySelectorAll("pre")) {
      const was = scrolled.find(s => s.name === pre.getAttribute("aria-label"));
      if (was) pre.scrollTop = was.end ? pre.scrollHeight : was.top;
    }
    if (focused && document.activeElement.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  let source, states;

  // take brings a new look at the same page in, part by part.
  function take(text) {
    const next = new DOMParser().parseFromString(text, "text/html").getElementById("live");
    if (!next) return;
    const parts = sourceOf(next), now = statesOf(next);
    const same = parts.size === source.size && [...parts.keys()].every((k, i) => k === [...source.keys()][i]);
    keeping(() => {
      if (!same) { live.replaceChildren(...document.adoptNode(next).childNodes); return; }
      for (const part of next.querySelectorAll("[data-key]")) {
        if (parts.get(part.dataset.key) === source.get(part.dataset.key)) continue;
        const old = [...live.querySelectorAll("[data-key]")].find(e => e.dataset.key === part.dataset.key);
        old.replaceWith(document.adoptNode(part));
      }
    });
    const said = [];
    for (const [name, state] of now) {
      const before = states.get(name);
      if (before !== state) said.push(before === undefined ? `${name}: ${state}` : `${name}: ${state}, was ${before}`);
    }
    for (const name of states.keys()) if (!now.has(name)) said.push(`${name} is gone`);
    if (said.length) news.textContent = said.join(". ");
    source = parts;
    states = now;
  }

  function say(text) {
    if (connection.textContent !== text) connection.textContent = text;
    connection.hidden = text === "";
  }

  async function look() {
    try {
      if (document.hidden) return;
      const address = new URL(location.href);
      address.searchParams.delete("done");
      const answer = await fetch(address, { headers: { "Gatehouse-Refresh": "1" }, credentials: "same-origin", signal: AbortSignal.timeout(10000) });
      if (answer.status === 401) { location.assign("/console/sign-in?to=" + encodeURIComponent(address.pathname + address.search)); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      take(await answer.text());
      say("");
    } catch {
      say("The controller does not answer; what you see may be old. Trying again.");
    } finally {
      ago();
      setTimeout(look, every);
    }
  }

  if (live) {
    source = sourceOf(live);
    states = statesOf(live);
    setTimeout(look, every);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) ago(); });
  }
  for (const pre of document.querySelectorAll("pre.log")) pre.scrollTop = pre.scrollHeight;
  ago();
})();
