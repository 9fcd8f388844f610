/** One item of quarantine: the record as it was received, and why it is there. */
import type { JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { ItemWithTexts } from "../../admin/operations.ts";
import { get, troubleOf } from "../api.ts";
import { count, dateTime } from "../format.ts";
import { Choice } from "../panel.tsx";
import { recordText, visible } from "../record-text.ts";
import { classes, isRetryable, reasonText } from "./words.ts";

export interface QuarantineItemProps {
  readonly id: string;
  readonly isBusy: boolean;
  readonly onRetry: () => void;
  readonly onDelete: (item: ItemWithTexts) => void;
  readonly onClose: () => void;
}

const layouts = ["Formatted", "As received"] as const;

export function QuarantineItem({ id, isBusy, onRetry, onDelete, onClose }: QuarantineItemProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  const [item, setItem] = useState<ItemWithTexts>();
  const [trouble, setTrouble] = useState<string>();
  useEffect(() => {
    if (dialog.current?.open === false) dialog.current.showModal();
    const stop = new AbortController();
    get<ItemWithTexts>("/api/v1/quarantine/item", { id }, stop.signal).then(setItem, (error: unknown) => {
      if (!stop.signal.aborted) setTrouble(troubleOf(error));
    });
    return () => stop.abort();
  }, [id]);
  return (
    <dialog ref={dialog} class="dialog item" aria-labelledby={titleId} onClose={onClose}>
      <div class="panel-head">
        <h2 id={titleId}>
          {item === undefined ? "Item" : classes[item.class].title} {visible(id.slice(0, 30))}
        </h2>
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
      {trouble !== undefined && (
        <p class="trouble" role="alert">
          {trouble}
        </p>
      )}
      {item !== undefined && (
        <>
          <Facts item={item} />
          <Texts item={item} />
          <div class="buttons">
            {isRetryable(item.class) && (
              <button type="button" disabled={isBusy} onClick={onRetry}>
                Retry
              </button>
            )}
            <button type="button" class="danger" disabled={isBusy} onClick={() => onDelete(item)}>
              Delete…
            </button>
          </div>
        </>
      )}
    </dialog>
  );
}

function Facts({ item }: { readonly item: ItemWithTexts }): JSX.Element {
  const { class: itemClass, reason, detail, type, source, at, records, row, line, destination } = item;
  const last = line + records - 1;
  const place = last > line ? `lines ${line} to ${last}` : `line ${line}`;
  const facts: readonly (readonly [string, string])[] = [
    ["Why", `${reasonText(reason)} (${visible(reason.slice(0, 60))})`],
    [itemClass === "invalid" || itemClass === "sample" ? "Detail" : "Answer", visible(detail)],
    ["Class", classes[itemClass].meaning],
    ["Record", `${type}, from ${source}, ${dateTime(at)}`],
    ...(destination === undefined ? [] : [["Destination", visible(destination)] as const]),
    ["Records", `${count(records)} (row ${row} of the journal, ${place})`],
  ];
  return (
    <dl class="facts">
      {facts.map(([name, text]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{text}</dd>
        </div>
      ))}
    </dl>
  );
}

function Texts({ item: { texts, isCut, records, id } }: { readonly item: ItemWithTexts }): JSX.Element {
  const [layout, setLayout] = useState<(typeof layouts)[number]>("Formatted");
  if (texts.length === 0) return <p class="empty">The text is damaged.</p>;
  const isPart = records > texts.length;
  const shown = recordText(texts, {
    isIndented: layout === "Formatted",
    isBeginning: isCut && !isPart && /^\s*[[{]/.test(texts[0] ?? ""),
  });
  const remark = isPart
    ? `the first ${texts.length} of ${records} records`
    : "only the beginning of the text is stored";
  return (
    <>
      <Choice label="How to show the record" options={layouts} chosen={layout} onChoose={setLayout} />
      <pre class="record" tabIndex={0} aria-label="The record">
        {shown.text}
      </pre>
      {isCut && <p class="note">({remark})</p>}
      {shown.isCut && (
        <p class="note">
          The rest is too long for this page: <code>tailscale2otel quarantine show {visible(id)}</code>
        </p>
      )}
    </>
  );
}
