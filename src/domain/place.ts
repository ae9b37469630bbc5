/** The one thing that is read and written: a file, by its real path and identity. */
export interface Place {
  readonly realPath: string;
  /** Whether the name that it was asked for by is the real path: no link on the way that somebody put into a store's place. */
  readonly isItself: boolean;
  /** Device and inode. */
  readonly identity: string;
}
