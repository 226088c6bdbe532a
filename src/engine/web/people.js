// Runs in the page, just before the bridge, which takes it over: what is asked about the account, people, groups and labels,
// and what is done to them. wa-js's own answers prove little here, too: where it can be seen, it is looked at afterwards.
'use strict';
window.__wardroomPeople = ({ text, whole, quietly, alias, within, failed }) => {
  const PATIENCE = 3000;
  const store = window.WPP?.whatsapp;
  const wid = (id) => WPP.util.createWid(id);
  // One person's chat may stand under the number or under the hidden id.
  const either = (collection, id) => {
    const other = alias(quietly(() => wid(id)));
    return collection.get(id) ?? (other && collection.get(other)) ?? null;
  };
  const chatOf = (id) => either(store.ChatStore, id);
  const missing = (what) => failed('not_found', what);
  const refused = (why = null) => failed('refused', why);
  async function becomes(test, ms = PATIENCE) {
    for (const end = Date.now() + ms; Date.now() < end; ) {
      if (quietly(test)) return true;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
  }
  // wa-js answers with models: only what was asked for may leave the page.
  const told = (answer) => ({ status: 'answer', answer });

  // ---- people ------------------------------------------------------------------------------------------------------
  const isOwn = (id) => [WPP.conn.getMyUserWid(), quietly(() => WPP.conn.getMyUserLid())].some((own) => text(own) === text(id));
  const isBlocked = (id) =>
    !!either(store.ContactStore, text(id))?.isContactBlocked || !!either(store.BlocklistStore, text(id));
  const person = (id, model) => ({
    id: text(id), name: whole(model?.name) || null, pushname: whole(model?.pushname) || null,
    short_name: whole(model?.shortName) || null, is_me: isOwn(id), on_network: !!model, saved: !!quietly(() => model.isMyContact),
    blocked: isBlocked(id),
  });
  // Past wa-js's caches, which answer from memory and take an error for "no".
  const look = async (id) => {
    const found = await store.functions.queryWidExists(wid(id));
    return found ? (found.wid.isLid() ? alias(found.wid) ?? text(found.wid) : text(found.wid)) : null;
  };
  // The cache has no list in all versions of the page; then one of its maps has the hidden ids as keys.
  function pairs() {
    const cache = store.lidPnCache;
    const maps = Object.values(cache).filter((one) => one instanceof Map);
    const byLid = maps.find((map) => [...map.keys()].some((key) => String(key).endsWith('@lid')));
    const lids = byLid ? [...byLid.keys()].map(wid) : store.ContactStore.getModelsArray().map(({ id }) => id);
    return lids.filter((id) => id.isLid()).map((id) => ({ lid: text(id), pn: alias(id) }));
  }

  // ---- presence ----------------------------------------------------------------------------------------------------
  const STATES = { available: 'online', unavailable: 'offline', composing: 'typing', recording_audio: 'recording' };
  const stateOf = (type) => STATES[type] ?? (['typing', 'recording', 'paused', 'online', 'offline'].includes(type) ? type : 'offline');
  const seen = ({ type, t, deny }) => (type === 'unavailable' && !deny && t ? Math.floor(t) : null);
  function presence(chat) {
    const { presence: model } = chat;
    const single = () => ({ id: text(chat.id), state: stateOf(model.chatstate?.type), last_seen: seen(model.chatstate ?? {}) });
    const many = () => model.chatstates.getModelsArray().map((one) => ({ id: text(one.id), state: stateOf(one.type), last_seen: seen(one) }));
    const people = !model?.hasData ? [] : chat.id.isGroup() ? quietly(many) ?? [] : [single()];
    return { chat: text(chat.id), people };
  }

  // ---- groups ------------------------------------------------------------------------------------------------------
  const role = ({ isSuperAdmin, isAdmin }) => (isSuperAdmin ? 'superadmin' : isAdmin ? 'admin' : 'participant');
  function member(one) {
    const id = typeof one.id === 'string' ? wid(one.id) : one.id;
    return { id: text(id), pn: id.isLid() ? alias(id) : null, role: role(one) };
  }
  const shape = (meta, members) => ({
    id: text(meta.id), subject: whole(meta.subject), description: whole(meta.desc) || null,
    owner: meta.owner ? text(meta.owner) : null, created: Number(meta.creation) || null, announce: !!meta.announce,
    restrict: !!meta.restrict, members: members.map(member),
  });
  const metaOf = (id) => within(PATIENCE, store.GroupMetadataStore.find(wid(id)));
  async function groupOf(id) {
    const meta = store.ChatStore.get(id) && (await metaOf(id));
    return meta ? shape({ ...meta.attributes, id: meta.id, subject: meta.subject }, meta.participants.getModelsArray()) : null;
  }
  // Only what the account is in; wa-js would create a chat for any other id.
  const inGroup = (work) => async (asked) => {
    if (!store.ChatStore.get(asked.group)) return missing('group');
    return work(asked);
  };
  const CHANGES = { add: 'addParticipants', remove: 'removeParticipants', promote: 'promoteParticipants', demote: 'demoteParticipants' };

  // ---- labels ------------------------------------------------------------------------------------------------------
  const label = ({ id, name, colorIndex }) => ({ id: String(id), name: whole(name), color: colorIndex ?? 0 });
  const labels = () => store.LabelStore.getModelsArray();
  const forBusiness = (work) => async (asked) =>
    store.Conn.isSMB ? work(asked) : refused('labels are for business accounts');

  const asks = {
    contacts: () => {
      const known = store.ContactStore.getModelsArray().filter(({ id }) => id.isUser());
      // Somebody who is there under both names is told of once.
      const once = known.filter(({ id }) => !id.isLid() || !store.ContactStore.get(alias(id)));
      return told(once.map((one) => person(one.id, one)));
    },
    async contact({ contact }) {
      const known = either(store.ContactStore, contact);
      const there = known ?? ((await look(contact)) ? {} : null);
      return told(person(contact, there));
    },
    on_network: async ({ contact }) => told(await look(contact)),
    about: async ({ contact }) => told(whole(await WPP.contact.getStatus(contact)) || null),
    picture: async ({ contact }) => told(whole(await WPP.contact.getProfilePictureUrl(contact)) || null),
    aliases: () => told(pairs()),
    alias_of({ contact }) {
      const other = alias(wid(contact));
      return told(contact.endsWith('@lid') ? { lid: contact, pn: other } : { lid: other, pn: contact });
    },
    async profile() {
      const id = text(WPP.conn.getMyUserWid());
      const picture = await within(PATIENCE, WPP.contact.getProfilePictureUrl(id).catch(() => null));
      return told({ id, name: whole(WPP.profile.getMyProfileName()), picture: whole(picture) || null });
    },
    presences: () => told(store.ChatStore.getModelsArray().filter((chat) => chat.presence?.hasData).map(presence)),
    async presence({ chat: id }) {
      const chat = chatOf(id) ?? (await WPP.chat.find(id));
      await within(PATIENCE, chat.presence.subscribe());
      await becomes(() => chat.presence.hasData, 500);
      return told({ ...presence(chat), chat: id });
    },
    async unread({ chat: id, most, since }) {
      const chat = chatOf(id);
      if (!chat) return told([]);
      const count = Math.min(Math.max(chat.unreadCount, 0), most);
      const others = chat.msgs.getModelsArray().filter((one) => !one.id.fromMe && one.t >= since);
      const ids = count ? others.slice(-count).map((one) => text(one.id)) : [];
      await WPP.chat.markIsRead(chat.id);
      return told(ids);
    },
    async groups() {
      const found = [];
      for (const { id } of store.ChatStore.getModelsArray().filter((chat) => chat.id.isGroup())) {
        const group = await groupOf(text(id));
        if (group?.members.some((one) => isOwn(one.id))) found.push(group);
      }
      return told(found);
    },
    group: inGroup(async ({ group }) => {
      const found = await groupOf(group);
      return found ? told(found) : missing('group');
    }),
    async invited({ code }) {
      const info = await WPP.group.getGroupInfoFromInviteCode(code).catch(() => null);
      return info ? told(shape(info, info.participants ?? [])) : missing('invite');
    },
    invite_code: inGroup(async ({ group }) => {
      // The module comes late on some pages, and wa-js remembers that it was not there.
      const job = quietly(() => window.require('WAWebMexFetchGroupInviteCodeJob'));
      return told(await (job ? job.fetchMexGroupInviteCode(wid(group)) : WPP.group.getInviteCode(group)));
    }),
    revoke_invite: inGroup(async ({ group }) => told(await WPP.group.revokeInviteCode(group))),
    async create_group({ subject, participants }) {
      const { gid } = await WPP.group.create(subject, participants);
      return told(await groupOf(text(gid)));
    },
    async join_group({ code }) {
      const joined = await WPP.group.join(code).catch((error) => {
        if (error?.code === 'invalid_invite_code') return null;
        throw error;
      });
      return joined ? told(text(joined.id)) : missing('invite');
    },
    labels: () => told(labels().map(label)),
    labels_of: ({ chat }) => told(labels().filter(({ id }) => chatOf(chat)?.labels?.includes(id)).map(label)),
    labelled({ label: id }) {
      if (!store.LabelStore.get(id)) return missing('label');
      return told(store.ChatStore.getModelsArray().filter((chat) => chat.labels?.includes(id)).map((chat) => text(chat.id)));
    },
    // wa-js takes the color 0 for "none given", here and where a label is changed.
    create_label: forBusiness(async ({ name, color }) => {
      const before = new Set(labels().map(({ id }) => id));
      await store.functions.labelAddAction(name, color ?? store.LabelStore.getNextAvailableColor());
      const made = () => labels().find((one) => !before.has(one.id) && one.name === name);
      return (await becomes(made)) ? told(label(made())) : refused();
    }),
  };

  const inChat = (work) => async (id, asked) => {
    const chat = chatOf(id);
    return chat ? work(chat, asked) : missing('chat');
  };
  const setting = (property, field) =>
    inGroup(async ({ group, on }) => {
      await WPP.group.setProperty(group, property, on);
      const meta = await metaOf(group);
      return (await becomes(() => !!meta[field] === on)) ? null : refused();
    });
  // `act` hands over the chat beside what was asked; these need the rest only.
  const plain = (work) => (_, asked) => work(asked);

  const acts = {
    archive: inChat(async (chat, { on }) => {
      if (!!chat.archive === on) return null;
      await store.functions.setArchive(chat, on);
      return (await becomes(() => !!chat.archive === on)) ? null : refused();
    }),
    unread: inChat(async (chat) => void (await WPP.chat.markIsUnread(chat.id))),
    clear: inChat(async (chat) => {
      await store.functions.sendClear(chat, false);
      return (await becomes(() => chat.msgs.length === 0)) ? null : refused();
    }),
    delete: inChat(async (chat) => ((await WPP.chat.delete(chat.id)).status === 200 ? null : refused())),
    async recording(chat) {
      const found = await WPP.chat.find(chat);
      await WPP.chat.markIsRecording(found.id);
    },
    available: plain(async ({ on }) => void (await WPP.conn.markAvailable(on))),
    // The list is kept by hidden ids.
    block: plain(async ({ contact, on }) => {
      const id = contact.endsWith('@lid') ? contact : alias(wid(contact)) ?? contact;
      await (on ? WPP.blocklist.blockContact(id) : WPP.blocklist.unblockContact(id));
      return (await becomes(() => isBlocked(wid(id)) === on)) ? null : refused();
    }),
    save: plain(async ({ contact, first, last }) => {
      const number = contact.endsWith('@lid') ? alias(wid(contact)) : contact;
      if (!number) return refused('the number behind this id is not known');
      await WPP.contact.save(number, first, { lastName: last, syncAddressBook: true });
      return null;
    }),
    name: plain(async ({ name }) => void (await WPP.profile.setMyProfileName(name))),
    about: plain(async ({ text: about }) => void (await WPP.profile.setMyStatus(about))),
    reject_call: plain(async ({ call }) => {
      const rejected = await WPP.call.reject(call).catch((error) => {
        if (error?.code === 'call_not_found') return null;
        throw error;
      });
      return rejected ? null : missing('call');
    }),
    members: plain(
      inGroup(async ({ group, change, people }) => {
        const answer = await WPP.group[CHANGES[change]](group, people);
        const codes = Object.values(answer ?? {}).map(({ code }) => code).filter((code) => code !== 200);
        if (codes.length) return refused(`the network answered ${codes.join(', ')}`);
        const { participants } = await metaOf(group);
        const now = (id) => either(participants, id);
        const did = {
          add: (id) => now(id), remove: (id) => !now(id), promote: (id) => now(id)?.isAdmin || now(id)?.isSuperAdmin,
          demote: (id) => now(id) && !now(id).isAdmin,
        };
        return (await becomes(() => people.every(did[change]))) ? null : refused();
      }),
    ),
    leave: plain(inGroup(async ({ group }) => ((await WPP.group.leave(group)) === false ? refused() : null))),
    subject: plain(inGroup(async ({ group, text: subject }) => void (await WPP.group.setSubject(group, subject)))),
    description: plain(inGroup(async ({ group, text: words }) => void (await WPP.group.setDescription(group, words)))),
    announce: plain(setting('announcement', 'announce')),
    restrict: plain(setting('restrict', 'restrict')),
    edit_label: plain(
      forBusiness(async ({ label: id, name, color }) => {
        if (!store.LabelStore.get(id)) return missing('label');
        await store.functions.labelEditAction(id, name, 0, color);
        return null;
      }),
    ),
    delete_label: plain(
      forBusiness(async ({ label: id }) => {
        if (!store.LabelStore.get(id)) return missing('label');
        const { deleteLabelResult } = await WPP.labels.deleteLabel(id);
        return deleteLabelResult ? null : refused();
      }),
    ),
    label: inChat(async (chat, { labels: wanted }) => {
      if (!store.Conn.isSMB) return refused('labels are for business accounts');
      if (wanted.some((id) => !store.LabelStore.get(id))) return missing('label');
      const has = chat.labels ?? [];
      const more = wanted.filter((id) => !has.includes(id)).map((labelId) => ({ labelId, type: 'add' }));
      const less = has.filter((id) => !wanted.includes(id)).map((labelId) => ({ labelId, type: 'remove' }));
      if (!more.length && !less.length) return null;
      await WPP.labels.addOrRemoveLabels([chat.id], [...more, ...less]);
      const same = () => chat.labels.length === wanted.length && wanted.every((id) => chat.labels.includes(id));
      return (await becomes(same)) ? null : refused();
    }),
  };

  return { asks, acts, isOwn, stateOf };
};
