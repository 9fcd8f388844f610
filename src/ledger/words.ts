/**
 * Words from the wire that become attributes: the known ones, as many others as the catalogue allows, and `other` for what
 * comes later. Those others are remembered for ever, so that the same event counts in the same series after any restart.
 */
import { count, type Increments } from "../catalogue/increments.ts";
import { type AttributesOf, type LedgerMetric, type OpenWords, metrics } from "../catalogue/metrics.ts";
import type { LedgerSeries } from "./types.ts";

/** What does not look like a word is not worth one of the places. */
const wordShape = /^[\w.@+-]{1,64}$/;

interface Vocabulary {
  readonly known: ReadonlySet<string>;
  readonly others: Set<string>;
  readonly maxOthers: number;
}

export class Words {
  readonly #vocabularies = new Map<LedgerMetric, Map<string, Vocabulary>>();

  constructor(names: readonly LedgerMetric[]) {
    for (const name of names) {
      const open = Object.entries(metrics[name].attributes).flatMap(([attribute, domain]) =>
        isOpen(domain) ? [[attribute, vocabularyOf(domain)] as const] : [],
      );
      if (open.length > 0) this.#vocabularies.set(name, new Map(open));
    }
  }

  /** Remembers the words of series that were restored. */
  restore(metric: LedgerMetric, series: readonly Pick<LedgerSeries, "attributes">[]): void {
    for (const [attribute, vocabulary] of this.#vocabularies.get(metric) ?? []) {
      for (const { attributes } of series) {
        const word = attributes[attribute];
        if (typeof word === "string") remember(vocabulary, word);
      }
    }
  }

  /** The same increments with bounded words. To be called in the order of commits. */
  settle(increments: Increments): Increments {
    let isSettled = true;
    for (const { metric } of increments.counts.values()) if (this.#vocabularies.has(metric)) isSettled = false;
    if (isSettled) return increments;
    const settled: Increments = { ...increments, counts: new Map() };
    for (const { metric, attributes, value } of increments.counts.values()) {
      count(settled, metric, this.#bounded(metric, attributes) as AttributesOf<LedgerMetric>, value);
    }
    return settled;
  }

  #bounded(metric: LedgerMetric, attributes: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    const bounded = { ...attributes };
    for (const [attribute, vocabulary] of this.#vocabularies.get(metric) ?? []) {
      const word = bounded[attribute];
      if (word !== undefined && !remember(vocabulary, word)) bounded[attribute] = "other";
    }
    return bounded;
  }
}

function isOpen(domain: unknown): domain is OpenWords {
  return typeof domain === "object" && domain !== null && "maxOthers" in domain;
}

function vocabularyOf({ known, maxOthers }: OpenWords): Vocabulary {
  return { known: new Set([...known, "other"]), others: new Set(), maxOthers };
}

/** Whether the word may be used. */
function remember({ known, others, maxOthers }: Vocabulary, word: string): boolean {
  if (known.has(word) || others.has(word)) return true;
  if (others.size >= maxOthers || !wordShape.test(word)) return false;
  others.add(word);
  return true;
}
