/** A mail server of a few lines (RFC 5321), to see what really goes over the wire. */

import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'

export interface SmtpListener {
  url: string
  /** What arrived between DATA and the final dot. */
  messages: string[]
  /** Every line that a client said outside of messages. */
  commands: string[]
  /** What it says in place of its usual reply to a command (`MAIL`, `RCPT`, `DATA`, `.`); `hang up` ends the connection. */
  replies: Record<string, string>
  close(): Promise<void>
}

export async function smtpListener(): Promise<SmtpListener> {
  const messages: string[] = []
  const commands: string[] = []
  const replies: Record<string, string> = {}
  const sockets = new Set<Socket>()

  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    let rest = ''
    let message: string[] | undefined
    const say = (name: string, usual: string) => {
      const reply = replies[name] ?? usual
      if (reply === 'hang up') socket.destroy()
      else socket.write(`${reply}\r\n`)
    }
    const line = (text: string) => {
      if (message && text !== '.') return void message.push(text)
      if (message) {
        messages.push(message.join('\r\n'))
        message = undefined
        return say('.', '250 kept')
      }
      commands.push(text)
      const command = text.slice(0, 4).toUpperCase()
      if (command === 'DATA') {
        if (!replies.DATA) message = []
        return say('DATA', '354 go on')
      }
      return say(command, command === 'QUIT' ? '221 bye' : '250 fine')
    }
    say('greeting', '220 test')
    socket.on('data', (chunk) => {
      const lines = (rest + String(chunk)).split('\r\n')
      rest = lines.pop() ?? ''
      for (const each of lines) line(each)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    url: `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    messages,
    commands,
    replies,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
