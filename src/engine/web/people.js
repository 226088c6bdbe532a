// Runs in the page, just before the bridge, which takes it over: what is asked about the account, people, groups and labels,
// and what is done to them. wa-js's own answers prove little here, too: where it can be seen, it is looked at afterwards.
'use strict';
window.__wardroomPeople = ({ text, whole, quietly, alias, within, failed, counts, find, row, push }) => {
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
  const gone = (error) => [404, 406, 410].includes(error?.status ?? error?.statusCode);
  async function becomes(test, ms = PATIENCE) {
    for (const end = Date.now() + ms; Date.now() < end; ) {
      if (quietly(test)) return true;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
  }
  // wa-js answers with models: only what was asked for may leave the page.
  const told = (answer) => ({ status: 'answer', answer });

  // A message as a journal would keep it.
  function kept(message) {
    const { alias: chat_alias, fromMe: from_me, name: push_name, type: kind, t: timestamp, ack, ...rest } = row(message);
    return { ...rest, chat_alias, from_me, push_name, kind, timestamp, ack: Math.min(Math.max(ack, -1), 4) };
  }

  // One that cannot be read yet.
  const waiting = (message) => ({ kind: 'notice', notice: 'waiting', at: Math.floor(Date.now() / 1000), message: kept(message) });

  // ---- people ------------------------------------------------------------------------------------------------------
  const isOwn = (id) => [WPP.conn.getMyUserWid(), quietly(() => WPP.conn.getMyUserLid())].some((own) => text(own) === text(id));
  const isBlocked = (id) =>
    !!either(store.ContactStore, text(id))?.isContactBlocked || !!either(store.BlocklistStore, text(id));
  const person = (id, model, on_network) => ({
    id: text(id), name: whole(model?.name) || null, pushname: whole(model?.pushname) || null,
    short_name: whole(model?.shortName) || null, is_me: isOwn(id), on_network, saved: !!quietly(() => model.isMyContact),
    blocked: !!model?.isContactBlocked || isBlocked(id),
  });
  // What a person's id can end in; the page knows bots and hosted businesses as well, under ids that no client could use.
  const isPerson = (id) => id.server === 'c.us' || id.server === 'lid';
  // Past wa-js's caches, which answer from memory and take an error for "no".
  const look = async (id) => {
    const found = await store.functions.queryWidExists(wid(id));
    return found ? (found.wid.isLid() ? alias(found.wid) ?? text(found.wid) : text(found.wid)) : null;
  };
  // The cache has no list in all versions of the page; then one of its maps has the hidden ids as keys.
  async function pairs() {
    await within(PATIENCE, Promise.resolve(store.ApiContact?.warmUpAllLidPnMappings?.()).catch(() => null));
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
  const number = (id) => (id.isLid() ? alias(id) : null) ?? text(id);
  function presence(id, model) {
    const one = (who, state) => ({ id: who, state: stateOf(state?.type), last_seen: seen(state ?? {}) });
    const many = () => model.chatstates.getModelsArray().map((state) => one(number(state.id), state));
    const people = !model?.hasData ? [] : id.endsWith('@g.us') ? quietly(many) ?? [] : [one(id, model.chatstate)];
    return { chat: id, people };
  }
  // The network keeps presence by hidden ids. Nothing is asked of it for a stranger: that would make a chat.
  async function presenceOf(id) {
    const other = alias(wid(id));
    const hidden = [id, other].find((one) => one?.endsWith('@lid'));
    const model = chatOf(id)?.presence ?? (hidden && (await store.PresenceStore.find(wid(hidden))));
    if (!model) return null;
    await within(PATIENCE, Promise.resolve(model.subscribe()).catch(() => null));
    await becomes(() => model.hasData, 500);
    return model;
  }

  // ---- groups ------------------------------------------------------------------------------------------------------
  const role = ({ isSuperAdmin, isAdmin }) => (isSuperAdmin ? 'superadmin' : isAdmin ? 'admin' : 'participant');
  function member(one) {
    const id = typeof one.id === 'string' ? wid(one.id) : one.id;
    return { id: text(id), pn: id.isLid() ? alias(id) : text(id), role: role(one) };
  }
  const shape = (meta, members) => ({
    id: text(meta.id), subject: whole(meta.subject), description: whole(meta.desc) || null,
    owner: meta.owner ? text(meta.owner) : null, created: Number(meta.creation) || null, announce: !!meta.announce,
    restrict: !!meta.restrict, members_add: meta.memberAddMode === 'all_member_add', approval: !!meta.membershipApprovalMode,
    members: members.map(member),
  });
  const metaOf = async (id) => {
    const asked = Promise.resolve(store.GroupMetadataStore.find(wid(id))).catch(() => null);
    return (await within(PATIENCE, asked)) ?? store.ChatStore.get(id)?.groupMetadata ?? null;
  };
  // What the account is in. A new name stands at the chat before the group's own record has it.
  async function groupOf(id) {
    const chat = store.ChatStore.get(id);
    const meta = chat && (await metaOf(id));
    const members = meta?.participants.getModelsArray() ?? [];
    if (!members.some((one) => isOwn(one.id))) return null;
    const found = shape(meta, members);
    return { ...found, subject: whole(chat.name) || found.subject };
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

  // ---- channels ----------------------------------------------------------------------------------------------------
  const CHANNEL_ROLES = ['owner', 'admin', 'subscriber'];
  const roleIn = (word) => (CHANNEL_ROLES.includes(String(word).toLowerCase()) ? String(word).toLowerCase() : 'guest');
  const counted = (value) => (Number.isFinite(Number(value ?? NaN)) ? Number(value) : null);
  // One that the page has.
  function followed(model) {
    const { description, inviteCode, verified, membershipType, size } = model.newsletterMetadata ?? {};
    return {
      id: text(model.id), name: whole(model.name ?? model.newsletterMetadata?.name), description: whole(description) || null,
      invite: whole(inviteCode) || null, verified: !!verified, role: roleIn(membershipType), followers: counted(size),
    };
  }
  // One that the network tells of.
  const tellOf = (meta) => ({
    id: text(meta.idJid), name: whole(meta.newsletterNameMetadataMixin?.nameElementValue),
    description: whole(meta.newsletterDescriptionMetadataMixin?.descriptionQueryDescriptionResponseMixin?.elementValue) || null,
    invite: whole(meta.newsletterInviteLinkMetadataMixin?.inviteCode) || null, verified: false, role: 'guest',
    followers: counted(meta.newsletterSubscribersMetadataMixin?.subscribersCount),
  });
  const inChannel = (work) => async ({ channel, ...asked }) => (store.NewsletterStore.get(channel) ? work(channel, asked) : missing('channel'));
  const isFollowed = (id) => roleIn(store.NewsletterStore.get(id)?.newsletterMetadata?.membershipType) !== 'guest';

  const asks = {
    contacts: () => {
      const known = store.ContactStore.getModelsArray().filter(({ id }) => isPerson(id));
      // Somebody who is there under both names is told of once.
      const once = known.filter(({ id }) => !id.isLid() || !store.ContactStore.get(alias(id)));
      return told(once.map((one) => person(one.id, one, quietly(() => one.isWAContact) ?? true)));
    },
    async contact({ contact }) {
      const known = either(store.ContactStore, contact);
      const there = known ? (quietly(() => known.isWAContact) ?? true) : !!(await look(contact));
      return told(person(contact, known, there));
    },
    on_network: async ({ contact }) => told(await look(contact)),
    about: async ({ contact }) => told(whole(await WPP.contact.getStatus(contact)) || null),
    async picture({ contact, refresh }) {
      if (refresh) quietly(() => store.ProfilePicThumbStore.get(wid(contact))?.markStale({ eurl: true }));
      return told(whole(await WPP.contact.getProfilePictureUrl(contact)) || null);
    },
    aliases: async () => told(await pairs()),
    alias_of({ contact }) {
      const other = alias(wid(contact));
      return told(contact.endsWith('@lid') ? { lid: contact, pn: other } : { lid: other, pn: contact });
    },
    async profile() {
      const id = text(WPP.conn.getMyUserWid());
      const picture = await within(PATIENCE, WPP.contact.getProfilePictureUrl(id).catch(() => null));
      return told({ id, name: whole(WPP.profile.getMyProfileName()), picture: whole(picture) || null });
    },
    presences() {
      const known = store.ChatStore.getModelsArray().filter(({ id, presence: model }) => model?.hasData && (isPerson(id) || id.isGroup()));
      return told(known.map((chat) => presence(number(chat.id), chat.presence)));
    },
    async presence({ chat: id }) {
      const model = await presenceOf(id);
      return model ? told(presence(id, model)) : missing('chat');
    },
    // The network knows only whole chats as read.
    async read_up({ chat: id, most, since }) {
      const chat = chatOf(id);
      if (!chat) return told([]);
      const count = Math.min(Math.max(chat.unreadCount, 0), most);
      const newest = count ? await WPP.chat.getMessages(chat.id, { count: count + 50 }) : [];
      const others = newest.filter((one) => !one.id.fromMe && one.t >= since && counts(one));
      await WPP.chat.markIsRead(chat.id);
      return told(count ? others.slice(-count).map((one) => text(one.id)) : []);
    },
    chats: () => told(store.ChatStore.getModelsArray().filter(({ id }) => isPerson(id) || id.isGroup()).map((chat) => {
      const [own, other] = [text(chat.id), alias(chat.id)];
      const names = chat.id.isLid() && other ? { id: other, alias: own } : { id: own, alias: other };
      return { ...names, name: whole(quietly(() => chat.name ?? chat.formattedTitle)) || null, at: chat.t || 0 };
    })),
    // What the page has of a chat before a message, or its newest.
    async earlier({ chat: id, before, count }) {
      const chat = chatOf(id);
      if (!chat) return told({ messages: [], oldest: null });
      const anchor = before ? await find(before, chat) : null;
      const here = [text(chat.id), alias(chat.id)];
      if (before && !here.includes(text(anchor?.id.remote))) return failed('message_not_found');
      const from = anchor ? { id: text(anchor.id), direction: 'before' } : {};
      const found = await WPP.chat.getMessages(chat.id, { count, ...from });
      return told({ messages: found.filter(counts).map(kept), oldest: text(found[0]?.id) });
    },
    async groups() {
      const chats = store.ChatStore.getModelsArray().filter((chat) => chat.id.isGroup() && !chat.isReadOnly);
      const found = await Promise.all(chats.map(({ id }) => groupOf(text(id))));
      return told(found.filter(Boolean));
    },
    count_groups: () => told(store.ChatStore.getModelsArray().filter((chat) => chat.id.isGroup() && !chat.isReadOnly).length),
    group: inGroup(async ({ group }) => {
      const found = await groupOf(group);
      return found ? told(found) : missing('group');
    }),
    // Past wa-js, which takes every error for an invalid code.
    async invited({ code }) {
      const { groupInfo: info } = await store.functions.sendQueryGroupInvite(code).catch((error) => {
        if (gone(error)) return {};
        throw error;
      });
      return info ? told(shape(info, info.participants ?? [])) : missing('invite');
    },
    invite_code: inGroup(async ({ group }) => {
      // The module comes late on some pages, and wa-js remembers that it was not there.
      const job = quietly(() => window.require('WAWebMexFetchGroupInviteCodeJob'));
      return told(await (job ? job.fetchMexGroupInviteCode(wid(group)) : WPP.group.getInviteCode(group)));
    }),
    revoke_invite: inGroup(async ({ group }) => told(await WPP.group.revokeInviteCode(group))),
    // wa-js can wait for ever for what the page tells of the new group.
    async create_group({ subject, participants }) {
      const before = new Set(store.ChatStore.getModelsArray().map(({ id }) => text(id)));
      const isNew = ({ id, name }) => id.isGroup() && !before.has(text(id)) && name === subject;
      const made = await within(10000, WPP.group.create(subject, participants));
      const id = made ? text(made.gid) : text(store.ChatStore.getModelsArray().find(isNew)?.id);
      if (!id) return failed('no_answer');
      const bare = { id, subject, description: null, owner: null, created: null, announce: false, restrict: false };
      return told((await groupOf(id)) ?? { ...bare, members_add: false, approval: false, members: [] });
    },
    async join_group({ code }) {
      const joined = await WPP.group.join(code).catch((error) => {
        if (error?.code === 'invalid_invite_code' || gone(error)) return null;
        throw error;
      });
      return joined ? told({ id: text(joined.id), pending: !!joined.pendingApproval }) : missing('invite');
    },
    channels: () => told(store.NewsletterStore.getModelsArray().map(followed).filter(({ role }) => role !== 'guest')),
    async channel({ channel }) {
      const known = store.NewsletterStore.getModelsArray().map(followed).find(({ id, invite }) => channel === id || channel === invite);
      if (known || !channel.includes('@')) return known ? told(known) : missing('channel');
      const wanted = { name: true, description: true, subscribers: true, inviteLink: true, state: true, creationTime: true };
      const found = await store.functions.queryNewsletterMetadataByJid(channel, wanted).catch((error) => {
        if (gone(error)) return null;
        throw error;
      });
      return found ? told(tellOf(found)) : missing('channel');
    },
    async create_channel({ name, description }) {
      const { idJid, inviteCode } = await WPP.newsletter.create(name, { description: description ?? undefined });
      await becomes(() => isFollowed(idJid), 1000);
      return told({ id: idJid, name, description: description || null, invite: inviteCode ?? null, verified: false, role: 'owner', followers: 0 });
    },
    async search_channels({ text: words, categories, limit, after: cursorToken }) {
      const { newsletters, pageInfo } = await WPP.newsletter.search(words, { categories, limit, cursorToken: cursorToken ?? undefined });
      const channels = newsletters.map((one) => ({
        id: text(one.idJid), name: whole(one.name), description: whole(one.description) || null, invite: whole(one.inviteCode) || null,
        verified: one.verification === 'VERIFIED', followers: counted(one.subscribersCount),
        role: isFollowed(one.idJid) ? followed(store.NewsletterStore.get(one.idJid)).role : 'guest',
      }));
      return told({ channels, end: pageInfo?.endCursor || null, more: !!pageInfo?.hasNextPage });
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
      const is = async () => !!(await metaOf(group))?.[field] === on;
      if ((await is()) || (await becomes(() => !!store.ChatStore.get(group)?.groupMetadata?.[field] === on))) return null;
      // The notice of it may have been lost.
      await within(PATIENCE, Promise.resolve(store.GroupMetadataStore.update(wid(group))).catch(() => null));
      return (await is()) ? null : refused();
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
      const entry = await within(PATIENCE, WPP.contact.getPnLidEntry(contact).catch(() => null));
      const id = text(entry?.lid) ?? alias(wid(contact)) ?? contact;
      await (on ? WPP.blocklist.blockContact(id) : WPP.blocklist.unblockContact(id));
      return (await becomes(() => isBlocked(wid(id)) === on)) ? null : refused();
    }),
    save: plain(async ({ contact, first, last }) => {
      const known = contact.endsWith('@lid') ? alias(wid(contact)) : contact;
      if (!known) return refused('the number behind this id is not known');
      await WPP.contact.save(known, first, { lastName: last, syncAddressBook: true });
      return (await becomes(() => either(store.ContactStore, known)?.name?.startsWith(first))) ? null : refused();
    }),
    name: plain(async ({ name }) => void (await WPP.profile.setMyProfileName(name))),
    about: plain(async ({ text: about }) => void (await WPP.profile.setMyStatus(about))),
    picture: plain(async ({ group, image }) => {
      if (group && !store.ChatStore.get(group)) return missing('group');
      const bytes = image && Uint8Array.from(atob(image.data), (char) => char.charCodeAt(0));
      const file = image && new File([bytes], 'picture', { type: image.mimetype });
      const done = group
        ? await (file ? WPP.group.setIcon(group, file) : WPP.group.removeIcon(group))
        : await (file ? WPP.profile.setMyProfilePicture(file) : WPP.profile.removeMyProfilePicture());
      return done === true || done?.status === 200 ? null : refused();
    }),
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
        // Only those who come in are answered one by one: 409 is there already, 421 is asked for.
        if (change === 'add') {
          const codes = Object.values(answer).filter(({ code }) => ![200, 409].includes(code));
          return codes.length ? refused(codes.map(({ wid: who, code }) => `${text(who)}: ${code}`).join(', ')) : null;
        }
        const members = () => store.ChatStore.get(group)?.groupMetadata?.participants ?? store.GroupMetadataStore.get(group)?.participants;
        const now = (id) => either(members(), id);
        const did = {
          remove: (id) => !now(id), promote: (id) => now(id)?.isAdmin || now(id)?.isSuperAdmin,
          demote: (id) => now(id) && !now(id).isAdmin,
        };
        return (await becomes(() => people.every(did[change]))) ? null : refused();
      }),
    ),
    leave: plain(
      inGroup(async ({ group }) => {
        const members = (await metaOf(group))?.participants.getModelsArray() ?? [];
        const left = store.ChatStore.get(group).isReadOnly && !members.some((one) => isOwn(one.id));
        return left || (await WPP.group.leave(group)) === true ? null : refused();
      }),
    ),
    // wa-js passes an id on whatever it names.
    follow: plain(async ({ channel, on }) => {
      if (!on && !isFollowed(channel)) return missing('channel');
      await (on ? WPP.newsletter.follow(channel) : WPP.newsletter.unfollow(channel));
      return (await becomes(() => isFollowed(channel) === on)) ? null : refused();
    }),
    mute: plain(inChannel(async (channel, { on }) => void (await WPP.newsletter.mute(channel, on)))),
    delete_channel: plain(
      inChannel(async (channel) => {
        const destroyed = await WPP.newsletter.destroy(channel);
        return destroyed === false ? refused() : null;
      }),
    ),
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

  // ---- what happens beside messages ------------------------------------------------------------------------------------
  // While the page loads what it knows, nothing has happened yet: `isReady` says when that is over.
  function listen(isReady) {
    const now = () => Math.floor(Date.now() / 1000);
    const tell = (notice, what) => isReady() && push({ kind: 'notice', notice, at: now(), ...what });

    WPP.on('chat.new_message', (message) => message.type === 'ciphertext' && isReady() && push(waiting(message)));
    WPP.on('call.incoming_call', ({ id, sender, isVideo, isGroup, offerTime }) => {
      const call = { call: id, from: number(sender), video: !!isVideo, group: !!isGroup, at: Math.floor(offerTime) || now() };
      tell('call', { ...call, state: 'received' });
      // wa-js does not tell how a call ends; its model does, by numbers or, in older pages, by words.
      const model = store.CallStore.get(id) ?? store.CallStore.activeCall;
      let over = false;
      model?.on?.('change:state', () => {
        const state = quietly(() => model.getState());
        const accepted = [6, 7, 'ACTIVE', 'HANDLED_REMOTELY'].includes(state);
        const ended = [0, 13, 'ENDED', 'REJECTED'].includes(state);
        if (over || !(accepted || ended)) return;
        over = true;
        tell('call', { ...call, at: now(), state: accepted ? 'accepted' : 'rejected' });
      });
    });

    const MOVES = { add: 'join', join: 'join', remove: 'leave', leave: 'leave', promote: 'promote', demote: 'demote' };
    WPP.on('group.participant_changed', ({ groupId, action, participants }) => {
      const people = participants.map((id) => number(wid(text(id))));
      const own = participants.some((id) => isOwn(id));
      if (MOVES[action]) tell('members', { group: text(groupId), change: MOVES[action], people, own });
    });
    const FIELDS = { subject: 'subject', desc: 'description', announce: 'announce', restrict: 'restrict' };
    for (const [field, name] of Object.entries(FIELDS))
      store.GroupMetadataStore?.on(`change:${field}`, (meta, value, before) => {
        // What was not known before has not changed: the page loads groups when it needs them.
        if (before === undefined) return;
        const plain = (one) => (name === 'subject' || name === 'description' ? whole(one ?? '') : !!one);
        if (plain(value) !== plain(before)) tell('group', { group: text(meta.id), [name]: plain(value) });
      });
    // Not by wa-js, which stops listening for good when one of all chats cannot be asked about.
    store.PresenceStore?.on('change:chatstate.type', (state) => {
      const model = store.PresenceStore.get(state.id) ?? { id: state.id, hasData: true, chatstate: state };
      const { chat, people } = presence(number(model.id), model);
      for (const { id, state: what, last_seen } of people) push({ kind: 'presence', chat, participant: id, presence: what, last_seen });
    });
    store.ChatStore.on('change:archive', (chat) => tell('archived', { chat: number(chat.id), on: !!chat.archive }));

    const labelTold = (model, gone) => tell('label', { ...shapeOfLabel(model), gone });
    // A label's fields are set one after the other.
    const changing = new Set();
    store.LabelStore?.on('add change:name change:colorIndex', (model) => {
      if (!isReady() || changing.has(model.id)) return;
      changing.add(model.id);
      setTimeout(() => {
        changing.delete(model.id);
        if (store.LabelStore.get(model.id)) labelTold(model, false);
      }, 50);
    });
    store.LabelStore?.on('remove', (model) => labelTold(model, true));
    store.ChatStore.on('change:labels', (chat, labels, before) => {
      if (before === undefined) return;
      const [is, was] = [labels ?? [], before ?? []];
      const each = (ids, others, on) =>
        ids.filter((id) => !others.includes(id)).forEach((id) => tell('labelled', { label: String(id), chat: number(chat.id), on }));
      each(is, was, true);
      each(was, is, false);
    });
  }
  const shapeOfLabel = ({ id, name, colorIndex }) => ({ label: String(id), name: whole(name), color: colorIndex ?? 0 });

  return { asks, acts, isOwn, listen, waiting };
};
