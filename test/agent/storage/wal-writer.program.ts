// Writes a log until it is killed, and prints the index of the last entry that is on the disk.
// Usage: wal-writer.ts FOLDER KEY-IN-HEX

import { asDataKey } from '../../../agent/storage/data-key.ts'
import { realDisk } from '../../../agent/storage/disk.ts'
import { openWal } from '../../../agent/storage/wal.ts'
import { entriesOf, hardState } from './wal-model.ts'

const [folder = '', key = ''] = process.argv.slice(2)
const wal = await openWal({
  disk: realDisk,
  folder,
  keys: [asDataKey(new Uint8Array(Buffer.from(key, 'hex')))],
  log: () => {},
  onFatal: (error) => {
    throw error
  },
  onSpace: () => {},
})
const { entries, compactedTo } = wal.restored
let last = entries[entries.length - 1]?.index ?? compactedTo
for (;;) {
  const saves: Promise<void>[] = []
  for (let count = 0; count < 3; count++) {
    const bytes = [50, 3_000, 60_000][count] ?? 0
    const from = last + 1
    last += 2
    const index = last
    const operation = { hardState: hardState(1), entries: entriesOf(from, last, { bytes }) }
    saves.push(wal.save(operation).then(() => void process.stdout.write(`${index}\n`)))
  }
  await Promise.all(saves)
  if (last % 60 === 0) await wal.compact(last - 30)
}
