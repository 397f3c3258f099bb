// Dark or light, before anything is painted: as Airflow around this page is, else as the system prefers.
"use strict";
(() => {
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function airflow() {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null; // another site frames the page
    }
  }

  function apply() {
    const around = airflow()?.classList;
    const told = around?.contains("dark") ? "dark" : around?.contains("light") ? "light" : null;
    const theme = told ?? (system.matches ? "dark" : "light");
    if (document.documentElement.dataset.theme !== theme) {
      document.documentElement.dataset.theme = theme;
      window.dispatchEvent(new Event("board-theme"));
    }
  }

  apply();
  system.addEventListener("change", apply);
  const frame = airflow();
  if (frame) new MutationObserver(apply).observe(frame, { attributes: true, attributeFilter: ["class"] });
})();
