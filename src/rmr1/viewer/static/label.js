// Keys of the pages that ask. Every page works without.
"use strict";

const PAUSE = 300; // milliseconds in which a key that was meant for the question before says nothing
const find = (selector) => document.querySelector(selector);
const form = find("[data-say]");
const live = find("[data-live]");
let isReady = false;
let isSent = false;

setTimeout(() => { isReady = true; document.body.dataset.ready = ""; }, PAUSE);

for (const one of document.forms) {
  one.addEventListener("submit", (event) => {
    if (isSent) event.preventDefault(); // a second click on the way
    else if (one.method === "post") isSent = true;
  });
}
addEventListener("pageshow", () => { isSent = false; });

const click = (selector) => { const one = find(selector); if (one && !one.disabled) one.click(); return Boolean(one); };
const focus = (selector) => { const one = find(selector); if (one) one.focus(); return Boolean(one); };
const follow = (selector) => { const one = find(selector); if (one) location.assign(one.href); return Boolean(one); };
const asksCriterion = form?.dataset.say === "criterion";
const saidSide = () => form?.querySelector('[name=side][type=radio]:checked');

function say(side) {
  if (!form) return false;
  if (!asksCriterion) return click(`[data-side="${side}"]`);
  const radio = form.querySelector(`[name=side][value="${side}"]`);
  radio.checked = true;
  form.dataset.step = "criterion";
  form.querySelector("[name=criterion]").focus({ preventScroll: false });
  live.textContent = "Now the criterion that decides: its number, 0 for none of them, o for your own words.";
  return true;
}

function choose(number) {
  const radios = [...form.querySelectorAll("[name=criterion]")];
  const radio = number === 0 ? radios.at(-1) : radios[number - 1];
  if (!radio || (number !== 0 && radio === radios.at(-1))) return false;
  radio.checked = true;
  return click("[data-keep]");
}

function sayOrChoose(key, side) {
  return asksCriterion && saidSide() ? choose(Number(key)) : side !== null && say(side);
}

const keys = {
  1: () => sayOrChoose("1", "1"),
  2: () => sayOrChoose("2", "2"),
  0: () => sayOrChoose("0", "tie"),
  a: () => say("1"),
  b: () => say("2"),
  t: () => say("tie"),
  s: () => click('[data-side="skip"]'),
  u: () => click("[data-undo]"),
  n: () => focus("[name=note]"),
  o: () => focus("[name=own]"),
  f: () => follow('[data-form="formatted"]'),
  w: () => follow('[data-form="plain"]'),
  "?": () => { find("#keys").showModal(); return true; },
};
for (const key of "3456789") keys[key] = () => sayOrChoose(key, null);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || find("dialog[open]")) return;
  const at = event.target;
  const isTyping = at instanceof HTMLElement && at.matches("input:not([type=radio]), textarea");
  if (event.key === "Escape" && isTyping) at.blur();
  else if (event.key === "Escape" && saidSide()) {
    saidSide().checked = false;
    delete form.dataset.step;
    live.textContent = "Say which answer is better.";
  }
  if (isTyping && event.key === "Enter" && at.name === "note" && !asksCriterion) {
    event.preventDefault(); // no button is meant; the note goes with the answer
    at.blur();
  }
  if (isTyping || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  if (isReady && !event.repeat) keys[event.key]();
});
find("[data-help]")?.addEventListener("click", keys["?"]);
form?.addEventListener("change", (event) => { if (event.target.name === "side") form.dataset.step = "criterion"; });
