// What a screen reader and the keyboard need, and the theme leaves out.
(() => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  const repair = () => {
    document.querySelectorAll(".md-code__nav").forEach((tools, n) => {
      tools.setAttribute("aria-label", `code block ${n + 1}`);
    });
    for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; // a wide table can be scrolled by arrows
    }
  };
  repair();
  new MutationObserver(repair).observe(document.querySelector(".md-content"), { childList: true, subtree: true });
})();
