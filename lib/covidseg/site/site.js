"use strict";
// The search over search.js, and the switch between light and dark. Without this file every page can still be read.
const root = document.body.dataset.root;
const field = document.querySelector("header input");
const found = document.getElementById("found");
const MOST = 12;

document.querySelector("header form").addEventListener("submit", event => {
  event.preventDefault();
  const first = found.querySelector("a");
  if (first) first.click();
});

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

// Every word must occur; a word in the title weighs most, in the notebooks more than in the reference.
function score(page, words) {
  const title = page.t.toLowerCase(), text = page.w.toLowerCase();
  const named = page.g === "Reference" ? 3 : 20;
  let sum = 0;
  for (const word of words) {
    const times = text.split(word).length - 1;
    if (!times && !title.includes(word)) return 0;
    sum += (title.includes(word) ? named : 0) + Math.min(times, 5);
  }
  return sum;
}

function show() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  found.replaceChildren();
  found.hidden = !words.length;
  if (!words.length) return;
  const hits = window.covidsegPages.map(page => [score(page, words), page]).filter(hit => hit[0]);
  hits.sort((a, b) => b[0] - a[0]);
  element("p", hits.length ? `${hits.length} ${hits.length === 1 ? "page" : "pages"}` : "Nothing found.", found);
  for (const [, page] of hits.slice(0, MOST)) {
    const link = element("a", "", found);
    link.href = root + page.a;
    element("b", page.t, link);
    element("span", ` ${page.g}`, link);
    const at = Math.max(0, page.w.toLowerCase().indexOf(words[0]) - 50);
    element("small", page.w.slice(at, at + 130), link);
  }
}
field.addEventListener("input", show);
document.addEventListener("keydown", event => {
  if (event.key === "Escape") { field.value = ""; show(); }
  if (event.key === "/" && document.activeElement !== field) { event.preventDefault(); field.focus(); }
});

if (window.innerWidth < 900) document.querySelector(".menu details").open = false;

const button = document.getElementById("theme");
const page = document.documentElement;
function kept() { try { return localStorage.getItem("covidseg-theme"); } catch { return null; } }
function put(theme) {
  page.dataset.theme = theme;
  button.textContent = theme === "dark" ? "Light" : "Dark";
  button.setAttribute("aria-label", `Switch to ${button.textContent.toLowerCase()} colours`);
}
put(kept() || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
button.hidden = false;
button.addEventListener("click", () => {
  put(page.dataset.theme === "dark" ? "light" : "dark");
  try { localStorage.setItem("covidseg-theme", page.dataset.theme); } catch { /* a folder on a disk may keep nothing */ }
});
