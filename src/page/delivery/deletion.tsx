/** Asks for confirmation before quarantine items are deleted: what is lost, and whether to delete dead letters too. Escape cancels. */
import type { JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { ItemList } from "../../admin/operations.ts";
import { counted } from "../format.ts";
import { itemsOf, lossOf } from "./words.ts";

export interface DeletionDialogProps {
  /** Counts of the selected items. */
  readonly counts: ItemList["counts"];
  readonly onConfirm: (deadLetters: "keep" | "delete") => void;
  /** Always called when the dialog closes, after focus has returned to where it was. */
  readonly onClose: () => void;
}

export function DeletionDialog({ counts, onConfirm, onClose }: DeletionDialogProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [deadLetters, setDeadLetters] = useState<"keep" | "delete">("keep");
  useEffect(() => dialog.current?.showModal(), []);
  const items = itemsOf(counts);
  const ofDeadLetters = itemsOf(counts, "dead_letter");
  const isOnlyThem = ofDeadLetters > 0 && ofDeadLetters === items;
  const deleted = deadLetters === "delete" || isOnlyThem ? items : items - ofDeadLetters;
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby={`${id}-title`}
      aria-describedby={`${id}-lost`}
      onClose={onClose}
    >
      <h2 id={`${id}-title`}>Delete {counted(deleted, "item")}?</h2>
      <ul id={`${id}-lost`}>
        {lossOf(counts, deadLetters).map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
      {ofDeadLetters > 0 && (
        <label class="option">
          <input
            type="checkbox"
            checked={deadLetters === "delete"}
            onChange={({ currentTarget }) => setDeadLetters(currentTarget.checked ? "delete" : "keep")}
          />
          Delete {counted(ofDeadLetters, "dead letter")} too
        </label>
      )}
      <div class="buttons">
        <button type="button" autoFocus onClick={() => dialog.current?.close()}>
          Cancel
        </button>
        <button
          type="button"
          class="danger"
          disabled={isOnlyThem && deadLetters === "keep"}
          onClick={() => {
            onConfirm(deadLetters);
            dialog.current?.close();
          }}
        >
          Delete
        </button>
      </div>
    </dialog>
  );
}
