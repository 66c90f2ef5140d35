/** Loaded before a server under test: answers how much processor time that process has used so far, and ends with the bench. */
process.on('message', (id) => process.send?.({ id, cpu: process.cpuUsage(), memory: process.memoryUsage.rss() }))
process.on('disconnect', () => process.exit(1))
