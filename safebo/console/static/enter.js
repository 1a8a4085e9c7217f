// The link's token stands behind the #, which a browser sends to nobody; it is sent once and kept nowhere.
"use strict";
const words = document.getElementById("entering");
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
if (token) {
  fetch("/enter", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  }).then(async (answer) => {
    const said = await answer.json();
    if (answer.ok) location.replace("/");
    else words.textContent = said.error;
  }).catch(() => { words.textContent = "The console does not answer."; });
}
