/** The controls of the map: the search for a node, zoom buttons, and the legend. */
import type { JSX } from "preact";
import { useId, useMemo, useState } from "preact/hooks";
import type { Graph } from "./graph.ts";
import { isNamed, shownName } from "./names.ts";

export interface FindNodeProps {
  readonly graph: Graph;
  readonly onFind: (name: string) => void;
  /** Called after Enter. */
  readonly onDone: () => void;
}

export function FindNode({ graph, onFind, onDone }: FindNodeProps): JSX.Element {
  const list = useId();
  const [text, setText] = useState("");
  const [isMissing, setMissing] = useState(false);
  const names = useMemo(() => namesByTraffic(graph), [graph]);
  const find = (wanted: string): void => {
    const found = bestMatch(names, wanted);
    setMissing(found === undefined && wanted !== "");
    if (found === undefined) return;
    onFind(found);
    onDone();
  };
  return (
    <form
      role="search"
      class="map-find"
      onSubmit={(event) => {
        event.preventDefault();
        find(text.trim());
      }}
    >
      <input
        type="search"
        placeholder="Find node"
        aria-label="Find node"
        aria-invalid={isMissing}
        list={list}
        value={text}
        maxLength={maxTyped}
        spellcheck={false}
        autocomplete="off"
        onInput={({ currentTarget: { value } }) => {
          setText(value);
          setMissing(false);
          // Picked from the list.
          if (graph.indexes.has(value)) onFind(value);
        }}
      />
      <datalist id={list}>
        {names.filter(isTypable).map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <span role="status">{isMissing ? "No such node on the map" : ""}</span>
    </form>
  );
}

/** The first name that begins with the text or, failing that, contains it. Case does not matter. */
function bestMatch(names: readonly string[], text: string): string | undefined {
  if (text === "") return undefined;
  const wanted = text.toLowerCase();
  return (
    names.find((name) => name === text) ??
    names.find((name) => name.toLowerCase().startsWith(wanted)) ??
    names.find((name) => name.toLowerCase().includes(wanted))
  );
}

function namesByTraffic({ nodes }: Graph): string[] {
  const named = nodes.filter(({ name }) => isNamed(name));
  return named.toSorted((left, right) => right.bytes - left.bytes).map(({ name }) => name);
}

const maxTyped = 300;

function isTypable(name: string): boolean {
  return name === shownName(name, maxTyped);
}

export interface ZoomButtonsProps {
  readonly isExpanded: boolean;
  readonly onZoom: (factor: number) => void;
  readonly onFit: () => void;
  readonly onExpand: () => void;
}

export function ZoomButtons({ isExpanded, onZoom, onFit, onExpand }: ZoomButtonsProps): JSX.Element {
  return (
    <div class="map-zoom" role="group" aria-label="Zoom">
      <button type="button" aria-label="Zoom in" title="Zoom in (+)" onClick={() => onZoom(1.5)}>
        +
      </button>
      <button type="button" aria-label="Zoom out" title="Zoom out (−)" onClick={() => onZoom(1 / 1.5)}>
        −
      </button>
      <button type="button" title="Show all nodes (0)" onClick={onFit}>
        Fit
      </button>
      <button type="button" aria-pressed={isExpanded} onClick={onExpand}>
        {isExpanded ? "Close" : "Expand"}
      </button>
    </div>
  );
}

const entries = [
  ["direct", "line", "Direct"],
  ["relayed", "line", "Relayed"],
  ["unknown", "line", "Path unknown"],
  ["machine", "disc", "Node"],
  ["outside", "disc", "Outside the tailnet"],
  ["several", "square", "Nodes without a known name"],
  ["chosen", "disc", "Chosen"],
] as const;

/** Explains what is on the map. */
export function Legend({ graph }: { readonly graph: Graph }): JSX.Element {
  const present = new Set<string>(["machine", "chosen", ...graph.nodes.map(({ kind }) => kind)]);
  for (const { path } of graph.edges) present.add(path);
  return (
    <ul class="map-legend" aria-label="Legend">
      {entries
        .filter(([color]) => present.has(color))
        .map(([color, shape, text]) => (
          <li key={color}>
            <span class={`map-swatch map-swatch-${shape}`} data-color={color} aria-hidden="true" />
            {text}
          </li>
        ))}
    </ul>
  );
}
