/**
 * Words from the wire that become attributes: the known ones, as many others as the catalogue allows, and `other` for what
 * comes later. Those others are remembered for ever, so that the same event counts in the same series after any restart.
 */
import { type LedgerMetric, metrics, type OpenWords } from "../catalogue/metrics.ts";

/** What does not look like a word takes up no place. */
const wordShape = /^[\w.@+-]{1,64}$/;

interface Vocabulary {
  readonly known: ReadonlySet<string>;
  readonly others: Set<string>;
  readonly maxOthers: number;
}

type Attributes = Readonly<Record<string, string>>;

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

  /** Remembers the words of a series that was restored. */
  restore(metric: LedgerMetric, attributes: Readonly<Record<string, string | boolean>>): void {
    for (const [attribute, vocabulary] of this.#vocabularies.get(metric) ?? []) {
      const word = attributes[attribute];
      if (typeof word === "string") remember(vocabulary, word);
    }
  }

  /** The same attributes with bounded words. To be called in the order of commits. */
  settle(metric: LedgerMetric, attributes: Attributes): Attributes {
    const open = this.#vocabularies.get(metric);
    if (open === undefined) return attributes;
    const settled: Record<string, string> = { ...attributes };
    for (const [attribute, vocabulary] of open) {
      const word = settled[attribute];
      if (word !== undefined && !remember(vocabulary, word)) settled[attribute] = "other";
    }
    return settled;
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
