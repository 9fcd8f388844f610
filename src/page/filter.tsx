/** The filter by nodes, on every view: chips that can be removed, and a field to add one. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { isNamed } from "./map/names.ts";
import { Name } from "./node-link.tsx";
import { go, route } from "./route.ts";

/** Names suggested in the field. */
const known = signal<readonly string[]>([]);

const maxOffered = 1000;

/** Called by views with the nodes that they know. */
export function offerNodes(names: readonly string[]): void {
  known.value = names.filter(isNamed).slice(0, maxOffered);
}

export function NodeFilter(): JSX.Element {
  const { nodes, view } = route.value;
  const [text, setText] = useState("");
  const add = (): void => {
    const name = text.trim();
    if (name !== "" && !nodes.includes(name)) go({ nodes: [...nodes, name] });
    setText("");
  };
  return (
    <search class="filter" aria-label="Filter by node">
      {nodes.length > 0 && (
        <ul aria-label="Shown are only">
          {nodes.map((node) => (
            <li key={node}>
              <button
                type="button"
                class="chip"
                aria-label={`Remove ${node} from the filter`}
                onClick={() => go({ nodes: nodes.filter((one) => one !== node) })}
              >
                <Name text={node} />
                <span aria-hidden="true">×</span>
              </button>
            </li>
          ))}
        </ul>
      )}
      {nodes.length > 0 && view === "delivery" && <span class="note">Delivery is that of all nodes.</span>}
      {nodes.length > 1 && (
        <button type="button" onClick={() => go({ nodes: [] })}>
          Clear
        </button>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          add();
        }}
      >
        <input
          type="text"
          aria-label="Add a node to the filter"
          placeholder={nodes.length === 0 ? "Filter by node" : "Add a node"}
          list="known-nodes"
          autoComplete="off"
          spellcheck={false}
          value={text}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
        />
        <datalist id="known-nodes">
          {known.value.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
      </form>
    </search>
  );
}
