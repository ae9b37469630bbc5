/** The one thing that is read and written: a file, by its real path and identity. */
export interface Place {
  readonly realPath: string;
  /** True if the given name is the real path: no link on the way that somebody put in a store's place. */
  readonly isItself: boolean;
  /** Device and inode. */
  readonly identity: string;
}
