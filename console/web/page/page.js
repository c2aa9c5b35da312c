"use strict";
// textual.js draws the terminal; this gives it the keyboard at once.
// a phone has room for 80 columns too; a letter of Roboto Mono in em
const COLUMNS = 80, LETTER = 0.601;
document.addEventListener("DOMContentLoaded", () => {
  const { dataset } = document.getElementById("terminal");
  dataset.fontSize = Math.min(15, window.innerWidth / COLUMNS / LETTER);
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
