// Texts of the language file, with {words} filled in; always as text, never as HTML.

let texts = {};

export function setTexts(found) {
  texts = found;
  document.documentElement.lang = found.code;
}

export function t(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

// One paragraph per block of the text.
export function paragraphs(place, text) {
  place.replaceChildren(
    ...text.split(/\n\s*\n/).map((block) => {
      const p = document.createElement("p");
      p.textContent = block.trim();
      return p;
    }),
  );
}
