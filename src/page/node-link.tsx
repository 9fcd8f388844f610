/** A link that filters everything by one node, or removes it from the filter; aggregated nodes have no link. */
import type { JSX } from "preact";
import { isNamed, shownName } from "./map/names.ts";
import { visibleName } from "./record-text.ts";
import { hrefOf, route } from "./route.ts";

/** A name from a record, which may be any text: characters that could hide or reorder the text around it are replaced. */
export function Name({ text }: { readonly text: string }): JSX.Element {
  return <bdi class="name">{visibleName(text)}</bdi>;
}

export function NodeLink({ node }: { readonly node: string }): JSX.Element {
  if (!isNamed(node)) return <span>{shownName(node, 100)}</span>;
  const { nodes } = route.value;
  const isChosen = nodes.includes(node);
  return (
    <a
      class="node"
      href={hrefOf({ nodes: isChosen ? nodes.filter((one) => one !== node) : [node] })}
      aria-current={isChosen ? "true" : undefined}
      title={isChosen ? "Remove from the filter" : "Filter everything by this node"}
    >
      <Name text={node} />
    </a>
  );
}
