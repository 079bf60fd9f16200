// What a plan would change, as rows of from and to.
import { h, show, t } from "./dom.js";

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** A change as rows; structured values are taken apart by their keys. */
function rows(key, from, to) {
  if (isObject(from) && isObject(to)) {
    const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])];
    return keys.filter((name) => !same(from[name], to[name])).flatMap((name) => rows(`${key}.${name}`, from[name] ?? null,
      to[name] ?? null));
  }
  return [{ key, from, to }];
}

export const rowsOf = (changes) => changes.flatMap((change) => rows(change.key, change.from, change.to));

// `exists` is the one key whose value itself says that something appears or goes away.
const goes = (row) => (row.key === "exists" ? row.to === false : row.to === null);
const comes = (row) => (row.key === "exists" ? row.from === false : row.from === null);

/** One change in words: "status running → stopped". */
const inWords = (row, name) => [
  h("span.visually-hidden", goes(row) ? "removed: " : comes(row) ? "new: " : ""),
    row.key === "exists" ? null : [h("span.key", t(row.key)), " "],
  goes(row) ? h("del", row.key === "exists" ? [name, "is deleted"] : show(row.from)) : comes(row) ? h("ins",
    row.key === "exists" ? [name, "is made"] : show(row.to))
    : [h("del", show(row.from)), h("span.arrow", { "aria-label": "becomes", role: "img" }, " → "), h("ins", show(row.to))],
];

/** Whether what cannot be taken back destroys or interrupts something. */
export const isFinal = (risk, changes) => risk === "high" || rowsOf(changes ?? []).some(goes);

/** The first changes in a line; a machine that goes is named, with its disks. */
export function changeLine(list, { noop, calls, name }) {
  if (noop) return "Changes nothing: all is as it would be afterwards.";
  if (!list.length) return `Sends ${calls} ${calls === 1 ? "call" : "calls"}; no setting changes.`;
  const more = list.length - 2;
  const deleted = list.some((row) => row.key === "exists" && goes(row));
  const one = (row) => (deleted && goes(row) && row.from?.volume ? h("del", "with disk ", t(row.key), row.from.size && [" (", t(row.from.size), ")"])
    : inWords(row, name && [t(name), " "]));
  return [list.slice(0, 2).map((row, i) => [i > 0 && ", ", one(row)]), more > 0 && ` and ${more} more`];
}

/** All changes of what has that name, one below the other. */
export const changeList = (list, name) => h("ul.diff", list.map((row) => h("li", inWords(row, [t(name), " "]))));
