// Opens the folded parts of Locust's form, once each: they hold the traffic's fields.
(() => {
  "use strict";
  const opened = new WeakSet();
  const open = () => {
    for (const fold of document.querySelectorAll("form h3 > button[aria-expanded='false']")) {
      if (opened.has(fold)) continue;
      opened.add(fold);
      fold.click();
    }
  };
  new MutationObserver(open).observe(document.body, { childList: true, subtree: true });
  open();
})();
