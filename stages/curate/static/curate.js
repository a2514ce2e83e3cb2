// Labels, names and reasons are written with textContent alone, so that HTML in them is text.
"use strict";

const $ = (id) => document.getElementById(id);
const form = $("filters");
const state = { view: null, at: 0, picture: 0, marked: new Set(), page: 1, asking: false, pending: null };
const WORDS = { drop: "drop", keep: "keep", relabel: "label:", not_same: "not the same as", together: "together with" };

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function say(text) {
  $("message").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { $("message").textContent = ""; }, 5000);
}

async function call(path, body) {
  try {
    const sent = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(path, sent);
    const found = await answer.json().catch(() => ({}));
    if (answer.ok) return found;
    say(typeof found.detail === "string" ? found.detail : `refused (${answer.status})`);
  } catch {
    say("the server does not answer; is it still running in the terminal?");
  }
  return null;
}

const finding = () => state.view && state.view.findings[state.at];

async function load(keep) {
  const query = new URLSearchParams(new FormData(form));
  query.set("page", state.page);
  const number = load.number = (load.number || 0) + 1;
  const view = await call(`/api/findings?${query}`);
  if (!view || number !== load.number) return; // a later one is on its way
  const id = keep && finding() && finding().id; // only now: a key may have moved on meanwhile
  state.view = view;
  state.page = view.page;
  const found = view.findings.findIndex((one) => one.id === id);
  if (found >= 0) state.at = found;
  state.at = Math.max(0, Math.min(state.at, view.findings.length - 1));
  const one = finding();
  state.picture = one && found >= 0 ? Math.min(state.picture, one.pictures.length - 1) : 0;
  if (found < 0) state.marked.clear();
  draw();
}

function draw() {
  const view = state.view;
  document.title = `Curate: ${view.title}`;
  $("title").textContent = view.title;
  $("progress").textContent = `${view.seen} of ${view.total} seen · ${view.decisions} decision${view.decisions === 1 ? "" : "s"}`;
  $("meter").value = view.total ? view.seen / view.total : 1;
  $("undo").disabled = !view.undo;
  $("redo").disabled = !view.redo;
  $("page").textContent = `page ${view.page} of ${view.pages} · ${view.matching} findings`;
  $("previous").disabled = view.page <= 1;
  $("next").disabled = view.page >= view.pages;
  options(form.elements.kind, view.kinds.map((one) => [one.key, `${one.title} (${one.count})`]));
  options(form.elements.label, view.labels.map((label) => [label, label]));
  $("labels").replaceChildren(...view.labels.map((label) => { const o = make("option"); o.value = label; return o; }));
  const cards = view.findings.map(card);
  $("list").replaceChildren(...(cards.length ? cards : [make("p", "said", view.total ? "Nothing fits these filters." : "Clean and aggregate found nothing to look at.")]));
  point(false);
}

function options(select, found) {
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...found.map(([value, text]) => { const o = make("option", "", text); o.value = value; return o; }));
  select.value = [...select.options].some((o) => o.value === chosen) ? chosen : "";
}

function card(one, place) {
  const article = make("article");
  const head = make("div", "bar");
  head.append(make("h2", "", one.title), make("p", "said", one.said), make("span", "seen", one.seen ? "seen" : ""));
  const list = make("ul");
  list.append(...one.pictures.map((picture, number) => tile(picture, place, number)));
  article.append(head, list);
  if (one.more) article.append(make("p", "said", `and ${one.more} more`));
  const acts = make("div", "bar acts");
  const several = one.pictures.length > 1;
  const wanted = [["Drop", "d"], ["Keep", "s"], ["Label …", "r"]];
  if (one.hint) wanted.push([`Label: ${one.hint}`, "a"]);
  if (several) wanted.push(["Not the same", "n"], ["Belong together", "b"], ["Mark", "x"]);
  wanted.push(["Large", "z"], ["Take back", "c"]);
  for (const [text, key] of wanted) {
    const button = make("button", "", text);
    button.append(make("kbd", "", key));
    button.addEventListener("click", () => { go(place, state.at === place ? state.picture : 0); act(key); });
    acts.append(button);
  }
  article.append(acts);
  return article;
}

// The mark says which picture it is: the browser keeps pictures by their address.
const address = (picture) => `/picture/${picture.number}?mark=${picture.mark}`;

function tile(picture, place, number) {
  const item = make("li");
  const frame = make("div", "frame");
  const image = make("img");
  image.loading = "lazy";
  image.alt = `${picture.label || "no label"}: ${picture.name}`;
  image.addEventListener("error", () => frame.replaceChildren(make("span", "", "no picture to show")));
  image.src = address(picture);
  frame.append(image);
  item.append(frame, make("div", "label", picture.label || "(no label)"), make("div", "name", picture.name));
  const why = picture.reason ? `${picture.status}: ${picture.reason.replaceAll("_", " ")}` : picture.status;
  item.append(make("div", "fate", picture.size ? `${why}, ${picture.size[0]} x ${picture.size[1]} px` : why));
  for (const one of picture.decisions) {
    const text = `${WORDS[one.decision]} ${one.value}`.trim() + (one.reason ? ` (${one.reason})` : "");
    const why = one.not_applied ? `; not applied: ${one.not_applied}` : "";
    item.append(make("span", `decision ${one.decision}`, text + why));
  }
  item.title = picture.detail;
  item.addEventListener("click", () => go(place, number));
  item.addEventListener("dblclick", zoom);
  return item;
}

function point(scroll = true) {
  const cards = [...$("list").querySelectorAll("article")];
  cards.forEach((article, place) => {
    article.classList.toggle("here", place === state.at);
    [...article.querySelectorAll("li")].forEach((item, number) => {
      item.classList.toggle("at", place === state.at && number === state.picture);
      item.classList.toggle("marked", place === state.at && state.marked.has(number));
    });
  });
  if (scroll && cards[state.at]) {
    cards[state.at].scrollIntoView({ block: "nearest" });
    const item = cards[state.at].querySelectorAll("li")[state.picture];
    if (item) item.scrollIntoView({ block: "nearest" });
  }
}

async function look(one) {
  if (!one || one.seen) return;
  one.seen = true;
  if (await call("/api/seen", { ids: [one.id] })) {
    state.view.seen += 1;
    $("progress").textContent = `${state.view.seen} of ${state.view.total} seen · ${state.view.decisions} decisions`;
    $("meter").value = state.view.seen / state.view.total;
    const place = state.view.findings.indexOf(one);
    const said = $("list").querySelectorAll("article")[place];
    if (said) said.querySelector(".seen").textContent = "seen";
  }
}

function go(place, picture = 0) {
  if (place !== state.at) {
    look(finding());
    state.marked.clear();
  }
  state.at = place;
  state.picture = picture;
  point();
}

async function turn(step) {
  const page = state.page + step;
  if (page < 1 || page > state.view.pages) return;
  await look(finding());
  state.page = page;
  state.at = step > 0 ? 0 : 1e6;
  state.marked.clear();
  await load(false);
  scrollTo(0, step > 0 ? 0 : document.body.scrollHeight);
  point();
}

function move(step) {
  const place = state.at + step;
  if (place < 0) turn(-1);
  else if (place >= state.view.findings.length) { if (state.page < state.view.pages) turn(1); else look(finding()); } else go(place);
}

// The pictures in question: the marked ones, else the one with the frame.
function chosen() {
  const one = finding();
  const numbers = state.marked.size ? [...state.marked].sort((a, b) => a - b) : [state.picture];
  return numbers.map((number) => one.pictures[number]);
}

// What a decision is about: the finding and the pictures as they are shown now. The others: of "not the same".
function target(decision) {
  const one = finding();
  let pictures = chosen();
  if (decision === "together" && pictures.length < 2) pictures = one.pictures;
  // A suspect or outlier and its copies are one picture, so one decision.
  if (["suspect", "outlier"].includes(one.kind) && !state.marked.size && decision !== "not_same") pictures = one.pictures;
  const others = decision === "not_same" ? one.pictures.filter((p) => !pictures.includes(p)) : [];
  return { one, pictures, others };
}

function subjects(decision, { pictures, others }) {
  const names = pictures.map((p) => p.name);
  if (decision === "together") return names.slice(1).map((other) => [names[0], other]);
  if (decision !== "not_same") return names.map((name) => [name]);
  if (others.length) return names.flatMap((name) => others.map((other) => [name, other.name]));
  return names.flatMap((name, place) => names.slice(place + 1).map((other) => [name, other]));
}

async function decide(decision, value = "", reason = "", about = finding() && target(decision), sure = false) {
  if (!about) return;
  const { one, pictures, others } = about;
  if ((decision === "together" || decision === "not_same") && pictures.length + others.length < 2) return say("this needs two pictures");
  const key = (names) => JSON.stringify([...names].sort());
  const known = new Map(one.pictures.flatMap((p) => p.decisions.map((d) => [key(d.subject), d])));
  const asked = subjects(decision, about);
  if (!decision) asked.push(...pictures.flatMap((p) => p.decisions.map((d) => d.subject)));
  const shown = asked.map((names) => ({ names, was: known.has(key(names)) ? known.get(key(names)).shown : "" }));
  const numbers = (list) => list.map((p) => p.number);
  state.marked.clear();
  const done = await call("/api/decide", { pictures: numbers(pictures), others: numbers(others), decision, value, reason, shown, sure });
  if (done && done.ask) return doubt(done, { decision, value, reason, about });
  await load(true);
  if (!done) return;
  if (!done.done) say("there is no decision to take back");
  else say(decision ? `decided: ${WORDS[decision]} ${value}`.trim() : "taken back");
}

// A label that is new, or nearly one that is there: asked before it is taken.
function doubt({ ask: question, instead }, step) {
  state.odd = { ...step, instead };
  point(false);
  $("doubt").textContent = question;
  $("instead").hidden = !instead;
  $("instead").textContent = `Label: ${instead}`;
  $("sure").showModal();
  $(instead ? "instead" : "anyway").focus();
}

$("sure").querySelector("form").addEventListener("submit", (event) => {
  const { decision, value, reason, about, instead } = state.odd;
  decide(decision, event.submitter && event.submitter.value === "instead" ? instead : value, reason, about, true);
});

function ask(decision) {
  if (!finding()) return;
  const about = target(decision);
  state.pending = { decision, about };
  $("question").textContent = { relabel: "Give another label", drop: "Drop", keep: "Keep", not_same: "Not the same", together: "Belong together" }[decision];
  const lines = (list) => list.map((p) => `${p.name} (${p.label || "no label"})`).join("\n");
  $("about").textContent = lines(about.pictures) + (about.others.length ? `\nas\n${lines(about.others)}` : "");
  $("labelled").hidden = decision !== "relabel";
  $("value").value = "";
  $("value").required = decision === "relabel";
  $("reason").value = "";
  $("ask").showModal();
  (decision === "relabel" ? $("value") : $("reason")).focus();
}

$("ask").querySelector("form").addEventListener("submit", () => {
  const { decision, about } = state.pending;
  decide(decision, decision === "relabel" ? $("value").value : "", $("reason").value, about);
});

function zoom() {
  const one = finding();
  if (!one) return;
  let pictures = chosen().slice(0, 2);
  if (pictures.length < 2 && one.pictures.length > 1) pictures.push(one.pictures[(state.picture + 1) % one.pictures.length]);
  $("large").replaceChildren(...pictures.map((picture) => {
    const figure = make("figure");
    const image = make("img");
    image.src = `${address(picture)}&side=1600`;
    image.alt = picture.name;
    figure.append(image, make("figcaption", "", `${picture.label || "(no label)"}: ${picture.name}`));
    return figure;
  }));
  if (!$("zoom").open) $("zoom").showModal();
}

function mark() {
  if (state.marked.has(state.picture)) state.marked.delete(state.picture);
  else state.marked.add(state.picture);
  point();
}

async function back(path) {
  const done = await call(path, {});
  await load(true);
  if (done) say(done.done ? `${path === "/api/undo" ? "undone" : "redone"}: ${done.said}` : "there is nothing more");
}

const DECISIONS = { d: "drop", s: "keep", r: "relabel", n: "not_same", b: "together" };

function act(key) {
  const one = finding();
  const count = one ? one.pictures.length : 1;
  if (DECISIONS[key]) {
    const asked = state.asking || key === "r";
    state.asking = false;
    return asked ? ask(DECISIONS[key]) : decide(DECISIONS[key]);
  }
  const acts = {
    j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
    l: () => go(state.at, (state.picture + 1) % count), ArrowRight: () => go(state.at, (state.picture + 1) % count),
    h: () => go(state.at, (state.picture + count - 1) % count), ArrowLeft: () => go(state.at, (state.picture + count - 1) % count),
    a: () => one && one.hint && decide("relabel", one.hint, "as proposed, after a look"),
    c: () => decide(""), e: () => { state.asking = true; say("the next decision asks for a reason"); },
    x: mark, z: zoom, Enter: zoom, u: () => back("/api/undo"), U: () => back("/api/redo"),
    "[": () => turn(-1), "]": () => turn(1), "?": () => $("keys").showModal(),
    "/": () => form.elements.text.focus(), f: () => form.elements.kind.focus(),
  };
  if (!acts[key]) return false;
  acts[key]();
  return true;
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && typing && !event.target.closest("dialog")) return typing.blur();
  if (document.querySelector("dialog[open]") || typing || event.altKey || event.metaKey) return;
  if (event.target.closest("button") && [" ", "Enter"].includes(event.key)) return;
  // Caps Lock changes the case of a letter; Shift alone says which key is meant.
  const key = event.key.length > 1 ? event.key : event.shiftKey ? event.key.toUpperCase() : event.key.toLowerCase();
  if (event.repeat && !"jkhl[]".includes(key) && !key.startsWith("Arrow")) return; // a held key decides once
  if (event.ctrlKey) {
    const path = { z: "/api/undo", Z: "/api/redo", y: "/api/redo" }[key];
    if (path) { event.preventDefault(); back(path); }
    return;
  }
  if (act(key) !== false) event.preventDefault();
});

form.addEventListener("submit", (event) => event.preventDefault());
let typed;
form.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => { state.page = 1; state.at = 0; load(false); }, 150);
});
$("undo").addEventListener("click", () => back("/api/undo"));
$("redo").addEventListener("click", () => back("/api/redo"));
$("help").addEventListener("click", () => $("keys").showModal());
$("previous").addEventListener("click", () => turn(-1));
$("next").addEventListener("click", () => turn(1));
for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
// Another tab may have decided meanwhile.
document.addEventListener("visibilitychange", () => { if (!document.hidden && !document.querySelector("dialog[open]")) load(true); });
load(false);
