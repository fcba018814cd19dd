// The theme that was chosen on Locust's page, before anything is painted; Locust keeps it like this.
(() => {
  "use strict";
  const chosen = localStorage.theme;
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
