"use strict";
// textual.js draws the terminal; this gives it the keyboard at once, and the tab the console's own title.
const title = document.title;
// a phone has room for 80 columns too; a letter of Roboto Mono in em
const COLUMNS = 80, LETTER = 0.601;
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", (event) => {
      const [kind, words] = typeof event.data === "string" ? JSON.parse(event.data) : [];
      if (kind === "title") document.title = words;
    });
    this.addEventListener("close", () => { document.title = `${title}: ended`; });
  }
};
document.addEventListener("DOMContentLoaded", () => {
  const { dataset } = document.getElementById("terminal");
  dataset.fontSize = Math.min(dataset.fontSize, window.innerWidth / COLUMNS / LETTER);
});
window.addEventListener("load", () => {
  document.getElementById("again").addEventListener("click", () => window.location.reload());
  const seen = new MutationObserver(() => {
    if (document.body.classList.contains("-first-byte")) {
      document.querySelector(".xterm-helper-textarea").focus();
      seen.disconnect();
    }
  });
  seen.observe(document.body, { attributes: true, attributeFilter: ["class"] });
});
