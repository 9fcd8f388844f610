/** The headline figures of the view *Now*. */
import type { ComponentChildren, JSX } from "preact";
import { age, bytes, count, frequency, rate, share } from "../format.ts";
import { type Kind, kinds, trafficKinds } from "../kinds.ts";
import { overview, samples } from "../live.ts";
import { meanOf, type Sums } from "../samples.ts";
import type { NodePaths } from "./reduce.ts";

/** Rates are averaged over this time, because Tailscale sends its records in bursts. */
const meanSeconds = 60;

export interface FiguresProps {
  readonly paths: Omit<NodePaths, "name"> | undefined;
  /** Prefix for figures that the filter does not affect. */
  readonly scope: string;
}

export function Figures({ paths, scope }: FiguresProps): JSX.Element {
  const now = overview.value;
  const accepted = now?.conservation.accepted;
  return (
    <dl class="figures">
      <Rates scope={scope} />
      <Figure title="Records accepted" note={`of ${shown(now?.conservation.received, count)} received in total`}>
        {shown(accepted, count)}
      </Figure>
      <Figure title="Oldest undelivered" note={`${shown(now?.conservation.pending, count)} pending`}>
        {now === undefined
          ? "–"
          : now.pendingSince === undefined
            ? "None"
            : age(Date.parse(now.at) - Date.parse(now.pendingSince))}
      </Figure>
      <Figure
        title="Relayed"
        note={paths === undefined ? "of the bytes on the wire" : `${bytes(paths.relayed)} by relay`}
      >
        {paths === undefined ? "–" : share(paths.relayed, paths.relayed + paths.direct)}
      </Figure>
    </dl>
  );
}

/** A component of its own, redrawn with each sample and not with each second. */
function Rates({ scope }: Pick<FiguresProps, "scope">): JSX.Element {
  const { columns } = samples.value;
  const mean = (name: keyof Sums, of: readonly Kind[]): number =>
    of.reduce((sum, kind) => sum + meanOf(columns, columns.series[kind][name], meanSeconds), 0);
  const isEmpty = columns.at.length === 0;
  return (
    <>
      <Figure title="Connection entries" note={`${scope}over the last minute`}>
        {isEmpty ? "–" : frequency(mean("entries", kinds))}
      </Figure>
      <Figure title="Sent by nodes" note={isEmpty ? "" : `${scope}${rate(mean("rxBytes", trafficKinds))} received`}>
        {isEmpty ? "–" : rate(mean("txBytes", trafficKinds))}
      </Figure>
    </>
  );
}

interface FigureProps {
  readonly title: string;
  readonly note: string;
  readonly children: ComponentChildren;
}

function Figure({ title, note, children }: FigureProps): JSX.Element {
  return (
    <div class="figure">
      <dt>{title}</dt>
      <dd class="value">{children}</dd>
      <dd class="note">{note}</dd>
    </div>
  );
}

function shown(value: number | undefined, show: (value: number) => string): string {
  return value === undefined ? "–" : show(value);
}
