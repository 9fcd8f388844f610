/** Expands one element to fill the window and makes everything else inert. */
import { type RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";

/** Returns whether the element is expanded, and a function to change that. */
export function useExpansion(
  element: RefObject<HTMLElement | null>,
): readonly [boolean, (isExpanded: boolean) => void] {
  const [isExpanded, setExpanded] = useState(false);
  useLayoutEffect(() => (isExpanded && element.current ? isolate(element.current) : undefined), [isExpanded]);
  return [isExpanded, setExpanded];
}

/** Makes everything outside the element inert, and stops the page from scrolling. @returns a function that undoes it */
function isolate(element: HTMLElement): () => void {
  const silenced: HTMLElement[] = [];
  for (
    let inner: Element = element;
    inner.parentElement !== null && inner !== document.body;
    inner = inner.parentElement
  ) {
    for (const sibling of inner.parentElement.children) {
      if (sibling === inner || !(sibling instanceof HTMLElement) || sibling.inert) continue;
      sibling.inert = true;
      silenced.push(sibling);
    }
  }
  const { overflow } = document.documentElement.style;
  document.documentElement.style.overflow = "hidden";
  return () => {
    for (const one of silenced) one.inert = false;
    document.documentElement.style.overflow = overflow;
  };
}
