// The supervision tree: how the node is, how each session is, and what happened to it in the last quarter of an hour.

import { plots } from '/dashboard/plots.js';

const SPAN = 15 * 60 * 1000;
const SVG = 'http://www.w3.org/2000/svg';
const $ = (id) => document.getElementById(id);
const element = (tag, text, className) => Object.assign(document.createElement(tag), { textContent: text, className: className || '' });
const shape = (tag, attributes) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};
const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const ago = (ms) => {
  const seconds = Math.max(0, Math.round((Date.now() - ms) / 1000));
  return seconds < 90 ? `${seconds} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
};

// What a step says to a person.
export function sentence(step) {
  switch (step.step) {
    case 'started':
      return step.cause ? `started again after ${step.cause}` : 'started';
    case 'ready':
      return step.cause ? `connected, ${(step.recoveryMs / 1000).toFixed(1)} s after ${step.cause}` : 'connected';
    case 'connecting':
      return 'lost the network';
    case 'ended':
      return `ended: ${step.reason}${step.detail ? ` (${step.detail})` : ''}`;
    case 'breaker':
      return `breaker ${step.state.replace('_', ' ')}`;
    case 'actor_panicked':
      return `its actor panicked: ${step.detail}`;
    default:
      return step.step;
  }
}

// A strip of the last quarter of an hour: connected or not, and a mark where something happened.
function strip(session) {
  const end = Date.now();
  const x = (at) => (100 * Math.min(SPAN, Math.max(0, at - end + SPAN))) / SPAN;
  const svg = shape('svg', { viewBox: '0 0 100 10', preserveAspectRatio: 'none', class: 'strip', role: 'img' });
  const steps = session.timeline;
  svg.append(shape('title', {}));
  svg.firstChild.textContent = `${steps.filter((one) => one.step === 'started' && one.cause).length} restarts are remembered`;
  let [from, up] = [end - SPAN, false];
  const segment = (to) => {
    if (x(to) > x(from)) svg.append(shape('rect', { x: x(from), y: 2, width: x(to) - x(from), height: 6, class: up ? 'up' : 'down' }));
  };
  for (const one of steps) {
    const now = { ready: true, connecting: false, ended: false }[one.step];
    if (now === undefined || now === up) continue;
    segment(one.at);
    [from, up] = [Math.max(from, one.at), now];
  }
  segment(end);
  for (const one of steps.filter((one) => one.at > end - SPAN && ['ended', 'actor_panicked'].includes(one.step))) {
    svg.append(shape('rect', { x: x(one.at) - 0.2, y: 0, width: 0.4, height: 10, class: 'mark' }));
  }
  return svg;
}

function facts(session) {
  const list = element('dl', '', 'facts');
  const fact = (name, value) => value !== null && list.append(element('dt', name), element('dd', value));
  fact('Incarnation', String(session.incarnation));
  fact('Failures in window', String(session.restartsInWindow));
  fact('Breaker', session.breaker.replace('_', ' '));
  fact('Last exit', session.lastExit ? [session.lastExit.reason, session.lastExit.detail].filter(Boolean).join(': ') : null);
  fact('Next attempt', session.nextAttemptAt ? clock(session.nextAttemptAt) : null);
  fact('Not connected for', session.downForMs === null ? null : ago(Date.now() - session.downForMs));
  fact('Inbox', `${session.inbox.depth} waiting, p99 ${session.inbox.waitP99Ms} ms`);
  fact('Outbox', session.outbox ? `${session.outbox.waiting} waiting` : null);
  const worker = session.worker;
  fact('Worker', worker ? `pid ${worker.pid}, ${Math.round(worker.memory / 2 ** 20)} MB, ${worker.cpu.toFixed(2)} cores` : null);
  return list;
}

function branch(session, opened) {
  const item = element('li', '', 'branch card');
  const title = element('div', '', 'title');
  const status = element('span', session.status.replaceAll('_', ' '), 'status');
  status.dataset.status = session.status;
  title.append(element('h4', session.name), status, element('span', session.since ? `for ${ago(session.since)}` : '', 'hint'));
  const details = element('details', '');
  details.dataset.name = session.name;
  details.open = opened.has(session.name);
  const steps = element('ol', '', 'steps');
  steps.append(...[...session.timeline].reverse().slice(0, 20).map((one) => element('li', `${clock(one.at)} ${sentence(one)}`)));
  details.append(element('summary', 'What happened'), steps);
  item.append(title, strip(session), facts(session), details);
  return item;
}

let due = null;

// Draws the tree; `ask` fetches from the API. A node that is unhealthy answers 503 and says why.
export async function draw(ask) {
  clearTimeout(due);
  due = null;
  if ($('supervision').hidden) return;
  plots(ask);
  const [tree, health] = await Promise.all([ask('GET', '/api/supervision'), fetch('/api/health/detailed').then((one) => one.json())]);
  const { node } = tree;
  const ill = Object.entries(health.checks || {}).filter(([, check]) => check.status !== 'healthy');
  const worst = Math.max(0, ...node.arbiters.map((one) => one.worstMs));
  $('node').textContent =
    `Node ${health.status}: ${node.workers} of ${node.workerLimit} workers, up for ${ago(node.startedAt)}, actors at most ${worst} ms late.` +
    ill.map(([name, check]) => ` ${name}: ${check.detail}.`).join('');
  $('node').dataset.status = health.status;
  const opened = new Set([...document.querySelectorAll('#tree details[open]')].map((one) => one.dataset.name));
  $('tree').replaceChildren(...node.tenants.flatMap((tenant) => {
    const list = element('ul', '');
    list.append(...tenant.sessions.map((session) => branch(session, opened)));
    return [element('h3', tenant.name || tenant.id), list];
  }));
  if (!due) due = setTimeout(() => draw(ask).catch(() => {}), 5000);
}

// Something happened: draws soon, and once for many events.
export function soon(ask) {
  if ($('supervision').hidden) return;
  clearTimeout(due);
  due = setTimeout(() => draw(ask).catch(() => {}), 300);
}
