"use strict";
(() => {
  // What is folded on the screen is open on paper; of a large gallery the explanations stay folded.
  let opened = [];
  addEventListener("beforeprint", () => {
    const many = document.querySelectorAll(".gallery > li:not([hidden])").length > 24;
    opened = [...document.querySelectorAll("details:not([open])")];
    opened = opened.filter((each) => !many || !each.closest(".gallery"));
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
  });
})();
