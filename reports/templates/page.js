// Paints the figures with the page's own colours, and links buttons and double-clicks to the time axis.
(() => {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const buttons = [...document.querySelectorAll("button[data-from]")];

  function paint() {
    const style = getComputedStyle(document.documentElement);
    for (const shown of Bokeh.documents) {
      for (const model of shown.all_models) {
        for (const roles of model.tags) {
          const colours = Object.entries(roles).map(([property, role]) =>
            [property, style.getPropertyValue("--" + role).trim()]);
          model.setv(Object.fromEntries(colours));
        }
      }
    }
    // Printing waits for no repainting, so the print style has to know which colours there are.
    const root = document.documentElement;
    requestAnimationFrame(() => root.classList.toggle("painted-dark", dark.matches));
  }

  // Bokeh takes every touch for itself; a finger that moves up or down means to scroll the page.
  function letFingersScroll(root) {
    for (const element of root.querySelectorAll("*")) {
      if (element.classList.contains("bk-events")) element.style.touchAction = "pan-y";
      if (element.shadowRoot) letFingersScroll(element.shadowRoot);
    }
  }

  function show(button) {
    const time = Bokeh.documents[0].get_model_by_name("time");
    time.setv({ start: Number(button.dataset.from), end: Number(button.dataset.to) });
    for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
  }

  function start() {
    if (!window.Bokeh || !Bokeh.documents.length) return requestAnimationFrame(start);
    paint();
    letFingersScroll(document.querySelector(".panels"));
    dark.addEventListener("change", paint);
    for (const button of buttons) button.addEventListener("click", () => show(button));
    document.querySelector(".panels").addEventListener("dblclick", () =>
      show(buttons.find((button) => button.getAttribute("aria-pressed") === "true")));
  }
  if (buttons.length) start();

  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
      const code = button.previousElementSibling;
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(code);
      }
    });
  }
})();
