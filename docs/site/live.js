// Live views inside the documents. A link to the live page in a state, such as index.html#text=The%20cat&off=0.mlp,
// gets a button; the button opens that state in a frame below the paragraph.
// There is one frame. The model comes with the first click, and another button only changes the frame's address.
// A frame that moves in the document is loaded again, so it stands at the end of the article and is put by its position
// over a gap that does move. Without this script, from disk, and in print the links are links.

(() => {
  const article = document.querySelector(".md-content__inner");
  if (!article || location.protocol === "file:") return; // the front page's model needs a server
  const links = [...article.querySelectorAll("a[href*='index.html#']")].filter((link) => link.hash.includes("="));
  const make = (tag, fields, children = []) => {
    const made = Object.assign(document.createElement(tag), fields);
    for (const child of children) made.append(child);
    return made;
  };
  const theme = () => (document.body.dataset.mdColorScheme === "slate" ? "dark" : "light");
  let view = null; // the frame and what stands around it, once a button has been pressed
  let opened = null; // the button whose state is shown

  /** The state of a link. The switch that it names is selected, so that the panel shows its buttons. */
  function stateOf(link) {
    const fields = new URLSearchParams(link.hash.slice(1));
    const switched = fields.get("off") ?? fields.get("mean") ?? fields.get("half") ?? fields.get("double");
    const at = switched && !fields.has("at") ? `&at=${encodeURIComponent(switched.split(",")[0])}` : "";
    return link.hash + at;
  }

  function build(page, state) {
    const own = make("a", { href: page + state, textContent: "Full page" });
    const frame = make("iframe", { src: `${page}?embed=${theme()}${state}`, id: "live-frame" });
    const now = () => {
      own.href = page + frame.contentWindow.location.hash; // as the reader has left it
    };
    for (const kind of ["pointerdown", "focus", "click"]) own.addEventListener(kind, now);
    const title = make("strong", { id: "live-title" });
    const close = make("button", { type: "button", textContent: "Close", onclick: shut });
    const bar = make("div", { className: "live-bar" }, [title, own, close]);
    const panel = make("section", { className: "live", id: "live", tabIndex: -1 }, [bar, frame]);
    panel.setAttribute("aria-labelledby", "live-title");
    new MutationObserver(() => frame.contentWindow.postMessage({ theme: theme() }, location.origin)).observe(
      document.body,
      { attributeFilter: ["data-md-color-scheme"] },
    );
    const gap = make("div", { className: "live-gap" });
    const place = () => {
      panel.style.top = `${gap.offsetTop}px`;
    };
    article.classList.add("live-holder");
    article.append(panel);
    new ResizeObserver(place).observe(article);
    return { base: `${page}?embed=${theme()}`, page, frame, panel, gap, title, place };
  }

  function mark(button, isOpen) {
    button.setAttribute("aria-expanded", String(isOpen));
    button.firstChild.data = isOpen ? "Close" : "Open here";
  }

  function shut() {
    mark(opened, false);
    view.gap.remove();
    view.panel.hidden = true; // the frame keeps its model
    opened.focus({ preventScroll: true });
    opened = null;
  }

  function open(button, link) {
    const before = button.getBoundingClientRect().top;
    if (opened) mark(opened, false);
    const state = stateOf(link);
    if (!view) view = build(link.href.slice(0, -link.hash.length), state);
    else view.frame.contentWindow.location.replace(view.base + state); // the same page: nothing is loaded again
    opened = button;
    mark(button, true);
    const block = link.closest(".md-content__inner > *");
    view.title.textContent = view.frame.title = link.textContent;
    view.panel.hidden = false;
    block.after(view.gap);
    view.place();
    window.scrollBy({ top: button.getBoundingClientRect().top - before, behavior: "instant" });
    view.gap.scrollIntoView({ block: "nearest", behavior: "instant" });
    view.panel.focus({ preventScroll: true });
  }

  for (const link of links) {
    const about = make("span", { className: "live-unseen", textContent: `: ${link.textContent}` });
    const button = make("button", { type: "button", className: "live-open" }, ["Open here", about]);
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => (button === opened ? shut() : open(button, link)));
    link.after(button);
  }
})();
