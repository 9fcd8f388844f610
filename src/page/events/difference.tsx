/** A value before and after a change, with removals and additions marked by a sign and an element, not by color alone. */
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { count, counted } from "../format.ts";
import { visible } from "../record-text.ts";
import { type Change, changeOf, excerptOf, type LineChange, type Section } from "./changes.ts";

export interface DifferenceProps {
  /** Empty if there was no value. */
  readonly before: string;
  readonly after: string;
}

export function Difference({ before, after }: DifferenceProps): JSX.Element {
  const change = useMemo(() => changeOf(before, after), [before, after]);
  switch (change.kind) {
    case "short":
      return <Short {...change} />;
    case "lines":
      return <Lines change={change} />;
    case "apart":
      return <Apart {...change} />;
  }
}

function Short({ before, after }: DifferenceProps): JSX.Element {
  return (
    <p class="short">
      {before === "" ? <em>nothing</em> : <del>{visible(before)}</del>}
      <span aria-label="became"> → </span>
      {after === "" ? <em>nothing</em> : <ins>{visible(after)}</ins>}
    </p>
  );
}

/** Further lines are drawn on request. */
const linesAtOnce = 1000;

function Lines({ change }: { readonly change: Extract<Change, { readonly kind: "lines" }> }): JSX.Element {
  const { sections, removed, added } = change;
  const [shown, setShown] = useState(linesAtOnce);
  let left = shown;
  const drawn = sections.flatMap((section, at) => {
    if (left <= 0) return [];
    const lines = section.kind === "lines" ? section.lines.slice(0, left) : section.lines;
    if (section.kind === "lines") left -= lines.length;
    return [<Part key={at} section={{ ...section, lines }} />];
  });
  return (
    <>
      <p class="note">
        {removed + added === 0
          ? "Nothing differs but the form."
          : `${counted(removed, "line")} removed, ${counted(added, "line")} added`}
      </p>
      <div class="table lines" role="group" aria-label="Differing lines" tabIndex={0}>
        <table>
          <tbody>{drawn}</tbody>
        </table>
      </div>
      {left <= 0 && (
        <button type="button" class="more" onClick={() => setShown(shown + linesAtOnce)}>
          Show the next {count(linesAtOnce)} lines
        </button>
      )}
    </>
  );
}

function Part({ section: { kind, lines } }: { readonly section: Section }): JSX.Element {
  const [unfolded, setUnfolded] = useState(0);
  const shown = kind === "lines" ? lines.length : Math.min(unfolded, lines.length);
  return (
    <>
      {lines.slice(0, shown).map((line) => (
        <Line key={`${line.before} ${line.after}`} line={line} />
      ))}
      {shown < lines.length && (
        <tr class="folded">
          <td colSpan={3}>
            <button type="button" onClick={() => setUnfolded(shown + linesAtOnce)}>
              ⋯ {counted(lines.length - shown, "unchanged line")}
            </button>
          </td>
        </tr>
      )}
    </>
  );
}

function Line({ line }: { readonly line: LineChange }): JSX.Element {
  const { sign, before, after } = line;
  const content = <Content line={line} />;
  return (
    <tr class={sign === "+" ? "added" : sign === "-" ? "removed" : ""}>
      <td class="number">{before}</td>
      <td class="number">{after}</td>
      <td class="text">
        <span class="sign">{sign === "-" ? "−" : sign}</span>
        {sign === "+" ? <ins>{content}</ins> : sign === "-" ? <del>{content}</del> : content}
      </td>
    </tr>
  );
}

function Content({ line }: { readonly line: LineChange }): JSX.Element {
  const { text, from, to, left, right } = excerptOf(line);
  return (
    <bdi>
      {left > 0 && <em>{count(left)} characters … </em>}
      {visible(text.slice(0, from))}
      {to > from && <mark>{visible(text.slice(from, to))}</mark>}
      {visible(text.slice(Math.max(from, to)))}
      {right > 0 && <em> … {count(right)} characters</em>}
    </bdi>
  );
}

/** Characters shown of each text until all of it is requested. */
const apartCharacters = 50_000;

function Apart({ before, after }: DifferenceProps): JSX.Element {
  const [isWhole, setWhole] = useState(false);
  const cut = (text: string): string => (isWhole ? text : text.slice(0, apartCharacters).toWellFormed());
  return (
    <>
      <p class="note">The two have too little in common to be compared line by line.</p>
      <div class="apart">
        <div>
          <h4>Before</h4>
          <pre tabIndex={0}>{visible(cut(before))}</pre>
        </div>
        <div>
          <h4>After</h4>
          <pre tabIndex={0}>{visible(cut(after))}</pre>
        </div>
      </div>
      {!isWhole && Math.max(before.length, after.length) > apartCharacters && (
        <button type="button" class="more" onClick={() => setWhole(true)}>
          Show all of both
        </button>
      )}
    </>
  );
}
