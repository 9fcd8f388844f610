/** The name of a node, which filters everything by it. */
import type { JSX } from "preact";
import { printable } from "../lib/text.ts";
import { hrefOf, route, toggled } from "./route.ts";

/** Names come from records, and may be anything: what could hide or reorder the text around is replaced. */
export function Name({ text }: { readonly text: string }): JSX.Element {
  return <bdi class="name">{printable(text, () => "�")}</bdi>;
}

export function NodeLink({ node }: { readonly node: string }): JSX.Element {
  const isChosen = route.value.nodes.includes(node);
  return (
    <a
      class="node"
      href={hrefOf({ nodes: toggled(node) })}
      aria-current={isChosen ? "true" : undefined}
      title={isChosen ? "Remove from the filter" : "Filter everything by this node"}
    >
      <Name text={node} />
    </a>
  );
}
