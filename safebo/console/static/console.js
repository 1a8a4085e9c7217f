// One run's page: asks how things are, sends answers and stops. All text is set as text; parts are the server's.
"use strict";

const TICK_MS = 200; // between two questions how things are
const LEAST_MS = 20; // of it, after an answer that took as long
const ANSWER_MS = 3000; // for an answer; one that hangs is asked for again
const LOST_MS = 600; // without an answer; a busy browser adds to it
const ALIVE_MS = 1000;
const REFRESH_MS = 1000;
const STOP_MS = 1500; // for a stop's answer, before the page says that there is none
const SLICES_MS = 1500;
const SEEN = 300; // samples of a strip chart: a minute

const run = document.body.dataset.run;
const id = (name) => document.getElementById(name);
let csrf = document.querySelector('meta[name="csrf"]').content;
let seen = null; // the newest event
let heard = performance.now();
let lost = false;
let owns = false;
let stopState = "idle"; // idle, asked, refused; what the robot shows is the server's to say
let latchSeen = false; // since the stop was asked for; an event that is older than the stop says nothing of it
let cardShown = performance.now();

// -- requests ---------------------------------------------------------------------------------------------------

async function post(path, body) {
  const send = () => fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Safebo-CSRF": csrf },
    body: JSON.stringify(body || {}),
    keepalive: true,
  });
  let answer = await send();
  if (answer.status === 401 || answer.status === 403) {
    // The console may have been started anew: its session first, then once more.
    const fresh = await fetch("/session", { headers: { Accept: "application/json" } });
    if (fresh.ok) {
      const token = (await fresh.json()).csrf;
      if (token !== csrf) {
        csrf = token;
        answer = await send();
      }
    }
  }
  const said = await answer.json().catch(() => ({ error: "The console's answer cannot be read." }));
  if (!answer.ok) throw new Error(said.error || `The console answered ${answer.status}.`);
  return said;
}

function say(text, bad) {
  const place = id("said");
  place.textContent = text;
  place.classList.toggle("bad", Boolean(bad));
}

async function change(path, body) {
  try {
    const said = await post(path, body);
    if (said.text) say(said.text);
    return said;
  } catch (error) {
    say(error instanceof TypeError ? "The console does not answer: nothing was done." : error.message, true);
    return null;
  }
}

// -- stop -------------------------------------------------------------------------------------------------------

async function stop() {
  if (id("stopbar").hidden) return;
  stopState = "asked";
  latchSeen = false;
  showStop();
  const late = setTimeout(() => {
    stopState = "refused";
    say("The stop is NOT confirmed yet. Use the robot's remote or switch NOW.", true);
    showStop();
  }, STOP_MS);
  try {
    const said = await post(`/runs/${run}/stop`);
    stopState = "asked";
    say(`The guardian has confirmed the stop: ${said.text}`);
  } catch (error) {
    stopState = "refused";
    say(error instanceof TypeError
      ? "STOP was NOT sent: the console does not answer. Use the robot's remote or switch NOW." : error.message, true);
  }
  clearTimeout(late);
  showStop();
}

function showStop() {
  const button = id("stop");
  const robot = seen && seen.robot;
  const rests = !lost && robot && robot.stopped;
  if (robot && stopState === "asked") {
    if (robot.latched) latchSeen = true;
    else if (latchSeen) stopState = "idle"; // cleared
  }
  let look = "idle";
  let text = "STOP";
  if (rests) {
    look = "seen";
    text = "STOPPED: seen at rest";
  } else if (stopState === "refused") {
    look = "refused";
    text = "STOP NOT CONFIRMED: use the remote";
  } else if (!lost && robot && robot.latched) {
    look = "asked";
    text = "Stop latched, NOT yet seen at rest";
  } else if (stopState === "asked") {
    look = "asked";
    text = "Stop sent";
  }
  button.className = look;
  if (button.textContent !== text) button.textContent = text;
}

const typing = (element) => element instanceof HTMLTextAreaElement || element.isContentEditable
  || (element instanceof HTMLInputElement && !["button", "checkbox", "radio", "submit", "range"].includes(element.type));

window.addEventListener("keydown", (event) => {
  const space = event.key === " " && !typing(event.target);
  if (event.key !== "Escape" && !space) return;
  if (id("stopbar").hidden) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (!event.repeat) stop();
}, true);
// A button that has the focus acts on the key's release.
window.addEventListener("keyup", (event) => {
  if (event.key === " " && !typing(event.target) && !id("stopbar").hidden) event.preventDefault();
}, true);

// -- what the server says -----------------------------------------------------------------------------------------

function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

// What stands between backticks, commands and keys, as code: as the page had it from the server.
function setSentence(place, text) {
  const split = text.split("`"), parts = split.length % 2 ? split : [text];
  if (place.textContent === parts.join("")) return;
  place.replaceChildren(...parts.map((part, i) => {
    if (i % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  }));
}

function show(event) {
  const before = seen;
  seen = event;
  setText(id("state-kind"), event.state);
  id("state-kind").className = `tag ${event.state}`;
  setSentence(id("state-text"), event.text);
  owns = event.owner === "you";
  setText(id("ownership"), {
    you: "You are in control.",
    other: "Read only: another browser is in control. Everybody may stop.",
    silent: "Read only: the browser in control has gone silent. Everybody may stop.",
    none: "Read only: nobody is in control. Everybody may stop.",
  }[event.owner]);
  id("take").hidden = owns || !event.may_own || event.owner === "other";
  id("release").hidden = !owns;
  showRobot(event);
  if (!before || before.question !== event.question || before.unknown !== event.unknown) refresh("now");
  if (before && before.version !== event.version) for (const part of ["trials", "charts", "audit"]) later(part);
  enable();
}

function showRobot(event) {
  const robot = event.robot;
  id("robot").hidden = !event.has_robot;
  id("stopbar").hidden = !event.has_robot;
  if (!event.has_robot) return;
  const facts = robot ? robot.facts : [["robot", event.robot_trouble]];
  const place = id("robot-facts");
  if (place.childElementCount !== facts.length) {
    place.replaceChildren(...facts.map(() => {
      const line = document.createElement("p");
      line.append(document.createElement("span"), " ", document.createElement("b"));
      return line;
    }));
  }
  facts.forEach(([name, value, bad], i) => {
    setText(place.children[i].children[0], name);
    setText(place.children[i].children[1], value);
    place.children[i].classList.toggle("bad", Boolean(bad));
  });
  id("latch").hidden = !(robot && robot.latched);
  if (robot && robot.latched) setText(id("latch-text"), robot.message);
  if (robot) strips(robot.strips);
  showStop();
}

function enable() {
  const live = owns && !lost;
  for (const element of document.querySelectorAll(".owner")) element.disabled = !live;
  const robot = seen && seen.robot;
  id("acknowledge").disabled = !live || !robot || robot.acknowledged;
  id("clear").disabled = !live || !robot || !robot.acknowledged;
  const card = document.querySelector(".card");
  if (card) {
    const old = (performance.now() - cardShown) / 1000 > Number(card.dataset.valid);
    card.querySelector(".expired").hidden = !old;
    if (old) for (const button of card.querySelectorAll(".answer")) button.disabled = true;
  }
}

const history_ = {};
function strips(values) {
  for (const [name, value, limit, unit] of values) {
    const kept = history_[name] = history_[name] || [];
    kept.push(value);
    if (kept.length > SEEN) kept.shift();
    let figure = id(`strip-${name}`);
    if (!figure) {
      const ns = "http://www.w3.org/2000/svg";
      figure = document.createElement("figure");
      figure.id = `strip-${name}`;
      const svg = document.createElementNS(ns, "svg");
      svg.setAttribute("viewBox", "0 0 300 60");
      svg.setAttribute("class", "strip");
      svg.setAttribute("role", "img");
      for (const style of ["limit upper", "limit lower"]) {
        const line = document.createElementNS(ns, "line");
        line.setAttribute("class", style);
        line.setAttribute("x1", "0");
        line.setAttribute("x2", "300");
        svg.append(line);
      }
      const path = document.createElementNS(ns, "polyline");
      path.setAttribute("class", "best");
      svg.append(path);
      figure.append(document.createElement("figcaption"), svg);
      id("strips").append(figure);
    }
    const shown = `${name} ${value.toFixed(2)} ${unit}` + (limit === null ? "" : ` (limit ${limit.toFixed(2)})`);
    setText(figure.firstChild, shown);
    const svg = figure.lastChild;
    svg.setAttribute("aria-label", shown);
    const most = Math.max(...kept.map(Math.abs), limit === null ? 0 : limit * 1.1, 1e-6);
    const low = kept.some((v) => v < 0) || (limit !== null && unit === "rad") ? -most : 0;
    const y = (v) => 57 - 54 * (v - low) / (most - low);
    svg.lastChild.setAttribute("points", kept.map((v, i) => `${300 - (kept.length - 1 - i)},${y(v).toFixed(1)}`).join(" "));
    [limit, limit === null ? null : -limit].forEach((v, i) => {
      const line = svg.children[i];
      const drawn = v !== null && v >= low;
      line.setAttribute("visibility", drawn ? "visible" : "hidden");
      if (drawn) {
        line.setAttribute("y1", y(v).toFixed(1));
        line.setAttribute("y2", y(v).toFixed(1));
      }
    });
  }
}

// -- parts of the page ----------------------------------------------------------------------------------------------

const waiting = {};
function later(part) {
  if (waiting[part]) return;
  waiting[part] = setTimeout(() => {
    waiting[part] = null;
    // What somebody works in is not taken away under their hands.
    if (id(part).contains(document.activeElement) && document.activeElement.matches("select, input, button")) later(part);
    else refresh(part);
  }, REFRESH_MS);
}

// What somebody has typed, and about what.
function typed() {
  const words = id("words");
  const card = words && words.closest(".card, .resolution");
  return card && {
    about: `${card.className} ${card.dataset.question || card.dataset.trial}`,
    text: words.value,
    focus: document.activeElement === words,
  };
}

// A table that somebody scrolls with the keyboard: without the focus its arrow keys would answer a question.
function scrolled(part) {
  const table = document.activeElement;
  return id(part).contains(table) && table.matches(".scroll") && { label: table.ariaLabel, left: table.scrollLeft };
}

async function refresh(part, query) {
  const form = id("filters");
  let before = null;
  const asked = query || (part === "trials" && form ? new URLSearchParams(new FormData(form)).toString() : "");
  try {
    const answer = await fetch(`/runs/${run}/part/${part}${asked ? `?${asked}` : ""}`);
    if (!answer.ok) throw new Error(await answer.text());
    const text = await answer.text();
    before = part === "now" ? typed() : null;
    const held = scrolled(part);
    id(part).innerHTML = text;
    const table = held && [...id(part).querySelectorAll(".scroll")].find((e) => e.ariaLabel === held.label);
    if (table) {
      table.focus();
      table.scrollLeft = held.left;
    }
  } catch (error) {
    if (!(error instanceof TypeError)) say(error.message, true);
  }
  if (part === "now") {
    cardShown = performance.now();
    drawPair();
  }
  enable();
  const now = before && typed();
  if (now && now.about === before.about) {
    id("words").value = before.text;
    if (before.focus) id("words").focus();
  }
}

document.addEventListener("change", (event) => {
  if (!event.target.closest("#filters")) return;
  const query = new URLSearchParams(new FormData(id("filters")));
  query.set("page", "1");
  refresh("trials", query.toString());
});

document.addEventListener("submit", (event) => event.preventDefault());

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.id === "stop") stop();
  else if (button.id === "baseline") change(`/runs/${run}/baseline`);
  else if (button.id === "take") change("/owner", { take: true });
  else if (button.id === "release") change("/owner", { take: false });
  else if (button.id === "acknowledge") change(`/runs/${run}/acknowledge`, { latch: seen.robot.latch });
  else if (button.id === "clear") {
    if (await change(`/runs/${run}/clear`)) stopState = "idle";
  } else if (button.id === "look-again") refresh("now");
  else if (button.id === "load-slices") slices(button);
  else if (button.id === "replay") replay(button);
  else if (button.classList.contains("page")) {
    const query = new URLSearchParams(new FormData(id("filters")));
    query.set("page", button.dataset.page);
    refresh("trials", query.toString());
  } else if (button.classList.contains("account")) resolve(button);
  else if (button.classList.contains("answer")) answer(button);
});

async function resolve(button) {
  const words = id("words").value.trim();
  if (!words) {
    say("Please say what you saw, in the field above the buttons. Nothing was done.", true);
    id("words").focus();
    return;
  }
  button.disabled = true;
  const trial = Number(button.closest(".resolution").dataset.trial);
  if (await change(`/runs/${run}/resolve`, { trial, account: button.dataset.account, words })) refresh("now");
  else enable();
}

async function answer(button) {
  const words = id("words") ? id("words").value.trim() : "";
  if (button.dataset.reason && !words) {
    say("Please say why, in the field above the buttons. Nothing was done.", true);
    id("words").focus();
    return;
  }
  const card = button.closest(".card");
  button.disabled = true;
  const done = await change(`/runs/${run}/answer`, { ticket: card.dataset.ticket, answer: button.dataset.answer, words });
  if (done) refresh("now");
  else enable();
}

async function replay(button) {
  button.disabled = true;
  await draw(id("replay-here"), id("replay-trial").valueAsNumber || 1);
  button.disabled = false;
}

// The video of a trial in a place; what went wrong is said there.
async function draw(place, trial, loops) {
  const url = `/runs/${run}/replay?trial=${trial}`;
  place.textContent = "The video is being drawn; a busy machine takes a minute or two.";
  try {
    const answer = await fetch(url);
    if (answer.ok) {
      const video = document.createElement("video");
      video.controls = true;
      video.loop = video.muted = video.autoplay = Boolean(loops);
      video.src = url;
      place.replaceChildren(video);
    } else place.textContent = (await answer.json()).error;
  } catch (error) {
    place.textContent = "The console does not answer.";
  }
}

// Both walks of a question, one after the other: the machine draws one at a time.
async function drawPair() {
  const places = [...document.querySelectorAll(".walk-video:empty")];
  for (const place of places) place.textContent = "The video is drawn after the other one.";
  for (const place of places) if (place.isConnected) await draw(place, place.dataset.trial, true);
}

// A table wider than its place moves with the arrow keys, and means no answer by them.
const scrolls = (element) => element.matches(".scroll") && element.scrollWidth > element.clientWidth;

document.addEventListener("keydown", (event) => {
  if (typing(event.target) || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.matches("video, input, select")) return;
  if (event.key.startsWith("Arrow") && scrolls(event.target)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key; // Caps Lock
  const button = [...document.querySelectorAll(".answer[data-key]:enabled")].find((b) => b.dataset.key === key);
  if (!button) return;
  event.preventDefault();
  answer(button);
});

async function slices(button) {
  button.disabled = true;
  const place = id("slices-here");
  place.textContent = "The model is being restored; after a new trial this takes a moment.";
  try {
    let answer = await fetch(`/runs/${run}/slices`);
    while (answer.status === 202) { // being drawn
      await pause(TICK_MS);
      answer = await fetch(`/runs/${run}/slices?begun=true`);
    }
    const text = await answer.text();
    if (answer.ok) place.innerHTML = text;
    else place.textContent = text;
  } catch (error) {
    place.textContent = "The console does not answer.";
  }
  button.disabled = false;
}

// -- live -------------------------------------------------------------------------------------------------------------

function setLost(now) {
  if (now === lost) return;
  lost = now;
  id("lost").hidden = !lost;
  document.body.classList.toggle("stale", lost);
  showStop();
  enable();
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Asked again and again: a browser has six connections to a console, and pages that held one would leave none to a stop.
async function listen() {
  for (;;) {
    const asked = performance.now();
    try {
      const answer = await fetch(`/runs/${run}/state`, { signal: AbortSignal.timeout(ANSWER_MS) });
      if (answer.ok) {
        const told = await answer.json();
        heard = performance.now();
        setLost(false);
        show(told);
      }
    } catch (error) {
      if (error instanceof TypeError) setLost(true); // nobody there
      else if (error.name !== "TimeoutError") console.error(error);
    }
    await pause(Math.max(LEAST_MS, TICK_MS - (performance.now() - asked)));
    while (document.hidden) await pause(TICK_MS);
  }
}

listen();
setInterval(() => {
  if (performance.now() - heard > LOST_MS) setLost(true);
  enable();
}, 100);
// drawn before they are asked for
setTimeout(() => fetch(`/runs/${run}/slices`, { priority: "low" }).catch(() => {}), SLICES_MS);
setInterval(() => { if (owns && (!lost || document.hidden)) post("/alive").catch(() => {}); }, ALIVE_MS);
