// Applies the theme chosen on Locust's page before the first paint, as Locust stores it.
(() => {
  "use strict";
  const chosen = localStorage.theme;
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
