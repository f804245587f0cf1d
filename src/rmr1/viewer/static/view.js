// Keys, filters that apply at once, and runs that are still being written. Every page works without.
"use strict";

const body = document.body;
const page = body.dataset.page;
const find = (selector) => document.querySelector(selector);

// ---- keys

function follow(selector) {
  const link = find(selector);
  if (link) location.assign(link.href);
  return Boolean(link);
}

function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return follow(by > 0 ? 'a[rel="next"]' : 'a[rel="prev"]');
  const at = rows.indexOf(document.activeElement);
  const row = rows[at < 0 && by < 0 ? rows.length - 1 : at + by];
  if (!row) return follow(by > 0 ? 'a[rel="next"]' : 'a[rel="prev"]');
  row.focus();
  row.scrollIntoView({ block: "nearest" });
  return true;
}

let invented = -1;
function showInvented() {
  const links = [...document.querySelectorAll("[data-invented]")];
  if (!links.length) {
    find("[data-live]").textContent = page === "one" ? "Every quotation here is found in its answer." : "";
    return page === "one";
  }
  invented = (invented + 1) % links.length;
  location.hash = links[invented].hash;
  return true;
}

const showHelp = () => { find("#keys").showModal(); return true; };
const focus = (selector) => { const one = find(selector); if (one) { one.focus(); one.scrollIntoView({ block: "center" }); } return Boolean(one); };
const keys = {
  j: () => step(1),
  k: () => step(-1),
  u: () => follow("[data-up]"),
  f: () => follow('[data-form="formatted"]'),
  w: () => follow('[data-form="plain"]'),
  d: () => follow('[data-form="diff"]'),
  i: showInvented,
  m: () => focus("[data-marks] input:not([type=hidden])"),
  o: () => follow('nav a[href$="/"]:not([href="/"])'),
  l: () => follow('nav a[href$="/list"]'),
  "/": () => focus("[data-search]") || follow('nav a[href$="/list"]'),
  "?": showHelp,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || find("dialog[open]")) return;
  const at = event.target;
  if (event.key === "Escape" && at instanceof HTMLElement) at.blur();
  const isTyping = at instanceof HTMLElement && at.matches("input:not([type=radio],[type=checkbox]), select, textarea");
  if (!isTyping && Object.hasOwn(keys, event.key) && keys[event.key]()) event.preventDefault();
});
find("[data-help]")?.addEventListener("click", showHelp);

// ---- the place that an address names

function flash() {
  const id = decodeURIComponent(location.hash.slice(1));
  const place = id && document.getElementById(id);
  if (!place) return;
  for (let one = place.parentElement; one; one = one.parentElement) if (one instanceof HTMLDetailsElement) one.open = true;
  place.scrollIntoView({ block: "center" });
  place.querySelector(":scope > [data-row]")?.focus();
}
addEventListener("hashchange", flash);
flash();

// ---- what was searched for

function markFound() {
  const words = new URLSearchParams(location.search).get("q");
  if (!words || !CSS.highlights) return;
  const terms = [...words.matchAll(/"([^"]*)"?|(\S+)/g)].map((one) => (one[1] ?? one[2]).replace(/\*$/, "")).filter((one) => /[\p{L}\p{N}]/u.test(one));
  const escaped = terms.map((one) => one.trim().split(/[^\p{L}\p{N}]+/u).filter(Boolean).join("[^\\p{L}\\p{N}]+"));
  if (!escaped.length) return;
  const wanted = new RegExp(`(?<![\\p{L}\\p{N}])(?:${escaped.join("|")})`, "giu");
  const found = [];
  const walker = document.createTreeWalker(find("main"), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node && found.length < 5000; node = walker.nextNode()) {
    if (node.parentElement.closest("form, nav, .conditions")) continue;
    for (const one of node.data.matchAll(wanted)) {
      const range = new Range();
      range.setStart(node, one.index);
      range.setEnd(node, one.index + one[0].length);
      found.push(range);
    }
  }
  CSS.highlights.set("found", new Highlight(...found));
}
markFound();

// ---- filters

const filters = find("[data-filters]");
if (filters) {
  const send = () => {
    for (const field of filters.elements) if (field.name && !field.value) field.disabled = true;
    filters.submit();
  };
  filters.addEventListener("change", (event) => { if (event.target.matches("[type=checkbox]")) send(); });
  filters.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  addEventListener("pageshow", () => { for (const field of filters.elements) field.disabled = false; });
}

// ---- marks

const who = find("[data-who]");
if (who) {
  who.value = localStorage.getItem("rmr1 who") || who.value;
  who.form.addEventListener("submit", () => localStorage.setItem("rmr1 who", who.value));
}

// ---- a run that is still being written

if ("follow" in body.dataset) {
  let seen = Number(find("main").dataset.items);
  const live = find("[data-live]");
  const renew = async () => {
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    find("main").replaceWith(fresh.querySelector("main"));
  };
  const look = async () => {
    let state;
    try {
      const answer = await fetch(`/runs/${body.dataset.run}/state`);
      if (!answer.ok) throw new Error(answer.status);
      state = await answer.json();
    } catch {
      live.textContent = "The viewer has ended; what is shown is what was there.";
      return;
    }
    const more = state.items - seen;
    if (state.failure) live.textContent = state.failure;
    else if (more > 0 && page === "overview" && !find("main").contains(document.activeElement)) {
      await renew();
      seen = Number(find("main").dataset.items);
      live.textContent = `${seen.toLocaleString("en")} judgments`;
    } else if (more > 0) {
      live.textContent = `${more.toLocaleString("en")} more judgments have come in. `;
      const link = document.createElement("a");
      link.href = location.href;
      link.textContent = "Show them";
      live.append(link);
    } else if (more < 0) live.textContent = "The run was begun anew; load the page again.";
  };
  const again = async () => {
    if (!document.hidden) await look();
    setTimeout(again, 2000);
  };
  setTimeout(again, 2000);
}
