/** Why a file or directory could not be used, in a few words: the runtime's own texts are for programmers. */
import { codeOf } from "./connection-error.ts";

/** Nothing if it is no error of the file system. */
export function fileErrorReason(error: unknown): string | undefined {
  const code = codeOf(error);
  return code === undefined ? undefined : reasons[code];
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EBUSY: "it is in use",
  EDQUOT: "the disk quota is used up",
  EEXIST: "it already exists",
  EFBIG: "it would be too large",
  EIO: "the disk reports an error",
  EISDIR: "it is a directory",
  ELOOP: "too many symbolic links",
  EMFILE: "too many open files",
  ENAMETOOLONG: "the name is too long",
  ENFILE: "too many open files",
  ENOENT: "there is no such file or directory",
  ENOSPC: "no space is left on the disk",
  ENOTDIR: "a part of the path is not a directory",
  ENOTEMPTY: "the directory is not empty",
  ENXIO: "it is not a regular file",
  EOPNOTSUPP: "it is not a regular file",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
};
