/** The quarantine panel: records that were not accepted or not delivered, why, and what can be done about them. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ItemList, ItemQuery, Selection, ShownItem } from "../../admin/operations.ts";
import { get } from "../api.ts";
import { count, counted, time } from "../format.ts";
import { serverNow } from "../live.ts";
import { Empty, Panel } from "../panel.tsx";
import { usePolled } from "../poll.ts";
import { replace, route } from "../route.ts";
import { Table } from "../table.tsx";
import { DeletionDialog } from "./deletion.tsx";
import { QuarantineFilter } from "./quarantine-filter.tsx";
import { QuarantineItem } from "./quarantine-item.tsx";
import { dismissWork, purgeAll, retryAll, stopWork, work } from "./quarantine-work.ts";
import { chosenFilter, retriesOf } from "./selection.ts";
import { visible } from "../record-text.ts";
import { classes, isRetryable, itemsOf, reasonText } from "./words.ts";

const pageItems = 50;
const everyMs = 10_000;

/** A deletion that waits for confirmation. */
interface Deletion {
  readonly selection: Selection;
  readonly counts: ItemList["counts"];
}

export interface QuarantinePanelProps {
  /** The names of further destinations. */
  readonly destinations: readonly string[];
  /** Called after a retry or a deletion. */
  readonly onChange: () => void;
}

export function QuarantinePanel({ destinations, onChange }: QuarantinePanelProps): JSX.Element {
  const { more } = route.value;
  const filter = chosenFilter(more);
  const filterKey = JSON.stringify(filter);
  const [pages, setPages] = useState<readonly string[]>([]);
  const [deletion, setDeletion] = useState<Deletion>();
  const heading = useRef<HTMLDivElement>(null);
  const hasActed = useRef(false);
  const beforeId = pages.at(-1);
  useEffect(() => setPages([]), [filterKey]);
  const query: ItemQuery = { ...filter, limit: pageItems, ...(beforeId === undefined ? {} : { beforeId }) };
  const { data, error, isLoading, refresh } = usePolled(
    (signal) => get<ItemList>("/api/v1/quarantine", { ...query }, signal),
    everyMs,
    `${filterKey} ${beforeId ?? ""}`,
  );
  const isBusy = work.value?.isRunning === true;
  const { counts = [], items = [] } = data ?? {};
  // The row of the button just used may be gone, and the focus with it.
  useEffect(() => {
    if (isBusy || !hasActed.current) return;
    hasActed.current = false;
    if (document.activeElement === document.body) heading.current?.focus();
  }, [items, isBusy]);
  const openItem = (item: string): void => replace({ more: { ...more, item } });
  const after = (done: Promise<void>): void => {
    hasActed.current = true;
    void done.then(refresh).then(onChange);
  };
  const retry = (selections: readonly Selection[]): void => after(retryAll(selections));
  const retries = retriesOf(filter, counts);
  const total = itemsOf(counts);
  return (
    <Panel
      title="Quarantine and dead letters"
      width="full"
      error={error}
      note="Records that were never accepted, and accepted ones that the backend rejected. Nothing here is delivered or counted until it is retried."
    >
      <div ref={heading} tabIndex={-1} class="quarantine">
        <QuarantineFilter filter={filter} counts={counts} destinations={destinations} />
        <WorkNotice />
        <div class="bulk">
          <span role="status">{data === undefined ? "" : total === 0 ? "No items" : counted(total, "item")}</span>
          <button
            type="button"
            disabled={isBusy || isLoading || retries.length === 0}
            onClick={() => retry(retries.map((one) => ({ ...one, before: serverNow() })))}
          >
            Retry all that match
          </button>
          <button
            type="button"
            class="danger"
            disabled={isBusy || isLoading || total === 0}
            onClick={() => setDeletion({ selection: { ...filter, before: serverNow() }, counts })}
          >
            Delete all that match…
          </button>
        </div>
        {items.length === 0 ? (
          <Empty>{emptyText(data === undefined || isLoading, Object.keys(filter).length > 0, pages.length > 0)}</Empty>
        ) : (
          <Table
            caption="Items in quarantine, newest first"
            columns={[
              { title: "Id", cell: ({ id }) => <ItemButton id={id} onOpen={openItem} /> },
              { title: "Class", cell: (item) => classes[item.class].title },
              { title: "Type", cell: ({ type }) => type },
              { title: "Reason", cell: ({ reason }) => <span title={reason}>{reasonText(reason)}</span> },
              { title: "Records", align: "right", cell: ({ records }) => count(records) },
              { title: "Since", cell: ({ at }) => time(at) },
              {
                title: "Destination",
                cell: ({ destination = "primary", ...item }) => destinationText(item, destination),
              },
              { title: "Detail", cell: ({ detail }) => <Detail text={detail} /> },
              {
                title: "Actions",
                cell: (item) =>
                  isRetryable(item.class) && (
                    <button
                      type="button"
                      disabled={isBusy}
                      aria-label={`Retry ${item.id}`}
                      onClick={() => retry([{ ids: [item.id] }])}
                    >
                      Retry
                    </button>
                  ),
              },
            ]}
            rows={items}
            keyOf={({ id }) => id}
            limit={20}
          />
        )}
        <div class="bulk">
          {pages.length > 0 && (
            <button type="button" onClick={() => setPages(pages.slice(0, -1))}>
              Newer
            </button>
          )}
          {items.length === pageItems && (
            <button type="button" onClick={() => setPages([...pages, items.at(-1)?.id ?? ""])}>
              Older
            </button>
          )}
        </div>
      </div>
      {more["item"] !== undefined && deletion === undefined && (
        <QuarantineItem
          key={more["item"]}
          id={more["item"]}
          isBusy={isBusy}
          onRetry={() => {
            retry([{ ids: [more["item"] ?? ""] }]);
            openItem("");
          }}
          onDelete={({ id, class: itemClass, reason }) =>
            setDeletion({ selection: { ids: [id] }, counts: [{ class: itemClass, reason, items: 1 }] })
          }
          onClose={() => openItem("")}
        />
      )}
      {deletion !== undefined && (
        <DeletionDialog
          counts={deletion.counts}
          onConfirm={(deadLetters) => {
            if (deletion.selection.ids !== undefined) openItem("");
            after(purgeAll(deletion.selection, deadLetters));
          }}
          onClose={() => setDeletion(undefined)}
        />
      )}
    </Panel>
  );
}

/** Progress and result of a retry or deletion; the result is read out by screen readers. */
function WorkNotice(): JSX.Element {
  const now = work.value;
  return (
    <div class="work">
      {now?.isRunning === true && (
        <p class="note">
          <progress aria-label="In progress" /> {now.text}{" "}
          <button type="button" onClick={stopWork}>
            Stop
          </button>
        </p>
      )}
      {/* Rendered even while empty, because screen readers announce only changes of an existing element. */}
      <div role="status">{now?.isRunning === false && <Result />}</div>
    </div>
  );
}

function Result(): JSX.Element {
  const { text = "", kept = [], trouble } = work.value ?? {};
  return (
    <>
      <p class="result">
        {text}
        {trouble === undefined ? "." : `. Ended: ${visible(trouble)}`}{" "}
        <button type="button" onClick={dismissWork}>
          Dismiss
        </button>
      </p>
      {kept.length > 0 && (
        <ul>
          {kept.map(({ id, why }) => (
            <li key={id}>
              {id} stays in quarantine: {visible(why)}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function ItemButton({ id, onOpen }: { readonly id: string; readonly onOpen: (id: string) => void }): JSX.Element {
  return (
    <button type="button" class="link" aria-label={`Show ${id}`} onClick={() => onOpen(id)}>
      {id}
    </button>
  );
}

/** Only accepted records have a destination. */
function destinationText({ class: itemClass }: Pick<ShownItem, "class">, name: string): string {
  return itemClass === "dead_letter" || itemClass === "note" ? visible(name) : "–";
}

const shownDetail = 160;

function Detail({ text }: { readonly text: string }): JSX.Element {
  const short = text.length > shownDetail ? `${text.slice(0, shownDetail)}…` : text;
  return <span class="detail">{visible(short)}</span>;
}

function emptyText(isLoading: boolean, isFiltered: boolean, isLater: boolean): string {
  if (isLoading) return "Loading…";
  if (isLater) return "There are no older items.";
  return isFiltered
    ? "Nothing matches this filter."
    : "Nothing is in quarantine: every record was valid, and no backend rejected one.";
}
