// What the page knows of people, groups and labels, and the modules through which wa-js asks for that and changes it. The
// network keeps all of it: what an account sets goes there first, and comes back to all its devices.
'use strict';

// ---- models ------------------------------------------------------------------------------------------------------
class Participant extends Model {}
Participant.prototype.proxyName = 'participant';
class Participants extends Collection {
  static model = Participant;
  mine = () => this._all.find(({ id }) => this.own().includes(id.toString()));
  iAmMember = () => !!this.mine();
  iAmAdmin = () => !!this.mine()?.isAdmin;
  iAmRestrictedMember = () => this.group.restrict && !this.iAmAdmin();
  canAdd = () => this.iAmAdmin();
  canRemove = (one) => this.iAmAdmin() && !one.isSuperAdmin;
  canPromote = (one) => this.iAmAdmin() && !one.isAdmin;
  canDemote = (one) => this.iAmAdmin() && one.isAdmin && !one.isSuperAdmin;
}
class GroupMetadata extends Model {
  canSetSubject = () => !this.participants.iAmRestrictedMember();
  canSetDescription = () => !this.participants.iAmRestrictedMember();
  canSetGroupProperty = () => this.participants.iAmAdmin();
  canSetEphemeralSetting = () => this.participants.iAmAdmin();
}
class GroupMetadataCollection extends Collection {
  static model = GroupMetadata;
  onParentGroupChange() {}
  async find(id) {
    return this.get(id);
  }
  async update(id) {
    return this.get(id);
  }
}
class TextStatus extends Model {}
class Picture extends Model {}
class Blocked extends Model {}
class Label extends Model {}
class Presence extends Model {}
class Shown extends Model {}
class Newsletter extends Model {}
const collectionOf = (Kind) =>
  class extends Collection {
    static model = Kind;
  };
const TextStatusCollection = new (collectionOf(TextStatus))();
const ProfilePicThumbCollection = new (collectionOf(Picture))();
const BlocklistCollection = new (collectionOf(Blocked))();
const LabelCollection = new (collectionOf(Label))();
const PresenceCollection = new (collectionOf(Presence))();
const GroupCollection = new GroupMetadataCollection();
const NewsletterCollection = new (collectionOf(Newsletter))();

const COLORS = Array.from({ length: 20 }, (_, index) => `#${(index * 0x0c0f11 + 0x203040).toString(16).padStart(6, '0')}`);

class CallModel extends Model {
  getState() {
    return this.state;
  }
  setState(state) {
    this.set({ state });
  }
}

// ---- modules -----------------------------------------------------------------------------------------------------
function peopleModules({ ask, tell, account, hidden, chatOf, Conn, perform }) {
  const own = () => [account(), hidden()].map(String);
  const phones = new Map();
  const lids = new Map();
  const kept = {};
  const keep = (key, value) => tell({ type: 'keep', key, value });
  const asked = async (message) => {
    const said = await ask(message);
    if (said.error) throw Object.assign(new Error(said.error), { name: 'ServerStatusCodeError', status: 403 });
    return said;
  };
  const change = (id, what) => asked({ type: 'group', id: id === null ? null : String(id), change: what });

  // ---- ids ---------------------------------------------------------------------------------------------------
  const aliases = {
    getPhoneNumber: (id) => phones.get(id.toString())?.phoneNumber || null,
    getCurrentLid: (id) => lids.get(id.toString())?.lid || null,
    getAlternateUserWid: (id) => phones.get(id.toString())?.phoneNumber || lids.get(id.toString())?.lid || null,
    warmUpAllLidPnMappings: async () => {},
  };
  const cache = { $1: phones, $2: lids, ...aliases, getLidEntry: (id) => phones.get(id.toString()) ?? lids.get(id.toString()) };
  define('WAWebLidPnCache', { lidPnCache: cache });
  define('WAWebApiContact', { ...aliases, lidPnCache: cache });
  function pair(number, lid) {
    const entry = { lid: wid(`${lid}@lid`), phoneNumber: wid(`${number}@c.us`) };
    phones.set(`${lid}@lid`, entry);
    lids.set(`${number}@c.us`, entry);
  }

  // ---- people ------------------------------------------------------------------------------------------------
  define('WAWebTextStatusCollection', { TextStatusCollection });
  TextStatusCollection.find = async (id) => {
    const known = TextStatusCollection.get(id) || TextStatusCollection.add({ id });
    const { about } = await ask({ type: 'about_of', id: id.toString() });
    return known.set({ status: about ?? '' });
  };
  // What everybody shows for a day. The page keeps to itself who may see the account's own.
  const StatusCollection = new (collectionOf(Shown))();
  Object.assign(StatusCollection, { getMyStatus: () => StatusCollection.get(account()), addStatusMessages() {}, handleUpdate() {} });
  define('WAWebStatusCollection', { StatusCollection });
  define('WARandomHex', {
    randomHex: (length) => [...crypto.getRandomValues(new Uint8Array(length))].map((byte) => byte.toString(16).padStart(2, '0')).join(''),
  });
  define('WAWebStatusJid', { STATUS_JID: STATUS });
  let audience = [];
  define('WAWebDBParticipants', {
    updateParticipants: async ({ participants }) => void (audience = addresses(participants)),
    addParticipants() {},
  });
  define('WAWebRevokeStatusAction', { default: (_, message) => perform('revoke', message) });
  function posted(message) {
    const own = StatusCollection.get(account()) || StatusCollection.add(new Shown({ id: account(), msgs: new Collection() }));
    own.msgs.add(message);
    own.set({ lastReceivedKey: message.id });
  }
  define('WAWebProfilePicThumbCollection', { ProfilePicThumbCollection });
  ProfilePicThumbCollection.find = async (id) => {
    // Everybody has one until it is changed or removed.
    const { picture } = await ask({ type: 'picture_of', id: id.toString() });
    const url = picture ? `${location.origin}/media/${picture}` : picture === '' ? undefined : `${location.origin}/pictures/${id.user}.png`;
    const known = ProfilePicThumbCollection.get(id) || ProfilePicThumbCollection.add({ id });
    return known.set({ img: url, imgFull: url, eurl: url });
  };
  define('WAWebBlocklistCollection', { BlocklistCollection });
  // Kept by hidden ids.
  const lidOf = (id) => (id.isLid() ? id : aliases.getCurrentLid(id));
  const block = (on) => async (id) => {
    const lid = lidOf(id);
    if (!lid) throw '[blocklist] no hidden id is known';
    const others = (kept.blocked || []).filter((one) => one !== lid.toString());
    keep('blocked', on ? [...others, lid.toString()] : others);
  };
  define('WAWebBlockContactAction', {
    blockContact: ({ contact }) => block(true)(contact.id),
    unblockContact: (contact) => block(false)(contact.id),
  });
  define('WAWebFrontendContactGetters', { getIsMyContact: (contact) => !!contact.isMyContact, getMentionName: (contact) => contact.name });
  define('WAWebSaveContactAction', {
    saveContactAction: async ({ phoneNumber, firstName, lastName }) => {
      keep('contacts', { ...kept.contacts, [`${phoneNumber}@c.us`]: [firstName, lastName].filter(Boolean).join(' ') });
    },
  });
  define('WAWebDeleteContactAction', { deleteContactAction: async () => {} });

  // ---- the account -------------------------------------------------------------------------------------------
  define('WAWebUserPrefsGeneral', { getPushname: () => Conn.pushname, setBrowserId() {}, getUserPrivacySettings: () => ({}) });
  define('WAWebSetPushnameConnAction', { setPushname: async (name) => keep('name', name) });
  define('WAWebContactStatusBridge', {
    getStatus: async (id) => TextStatusCollection.find(id),
    setMyStatus: async (text) => keep('about', text),
    queryStatusAll: async () => [],
  });
  const setPicture = async (id, picture) => {
    if (id.isGroup()) await change(id, { what: 'picture', picture });
    else keep('picture', picture);
    return { status: 200 };
  };
  define('WAWebContactProfilePicThumbBridge', {
    sendSetPicture: async (id, _, full) => {
      const body = Uint8Array.from(atob(full.split(',')[1]), (char) => char.charCodeAt(0));
      const kept = await fetch('/media', { method: 'PUT', body });
      return setPicture(id, (await kept.json()).hash);
    },
    requestDeletePicture: (id) => setPicture(id, ''),
  });

  // ---- groups ------------------------------------------------------------------------------------------------
  define('WAWebGroupMetadataCollection', { default: GroupCollection });
  define('WAWebParticipantModel', { Participant });
  class GroupAlreadyExistsError extends Error {}
  define('WAWebGroupCreateJob', {
    GroupAlreadyExistsError,
    createGroup: async ({ title }, people) => {
      const numbers = people.map(({ phoneNumber }) => phoneNumber.toString());
      const { id } = await change(null, { what: 'made', subject: title, people: numbers, invite: '' });
      return { wid: wid(id), participants: people.map(({ phoneNumber }) => ({ wid: phoneNumber })) };
    },
  });
  const addresses = (people) => people.map((one) => (one.id ?? one.phoneNumber ?? one).toString());
  const membership = (what) => async (group, people) => {
    await change(group.id ?? group, { what, people: addresses(people) });
    return { status: 207, participants: people.map((one) => ({ userWid: one.phoneNumber ?? one.id, code: '200' })) };
  };
  define('WAWebGroupModifyParticipantsJob', {
    addGroupParticipants: membership('add'), removeGroupParticipants: membership('remove'),
    promoteGroupParticipants: membership('promote'), demoteGroupParticipants: membership('demote'),
  });
  // These answer nothing.
  const silent = (what) => async (group, people) => void (await membership(what)(group, people));
  define('WAWebModifyParticipantsGroupAction', {
    addParticipants: silent('add'), removeParticipants: silent('remove'), promoteParticipants: silent('promote'),
    demoteParticipants: silent('demote'), promoteCommunityParticipants() {}, demoteCommunityParticipants() {},
  });
  define('WAWebExitGroupAction', {
    // A refusal is no exception.
    sendExitGroup: (chat) => change(chat.id, { what: 'remove', people: [account().toString()] }).then(() => true, () => false),
  });
  define('WAWebGroupQueryBridge', {
    sendQueryGroupInvite: async (code) => {
      const { group } = await ask({ type: 'invited', invite: code });
      if (!group) throw Object.assign(new Error('item-not-found'), { name: 'ServerStatusCodeError', status: 404 });
      const { description: desc, created: creation, members, ...rest } = group;
      const participants = members.map(({ id, role }) => ({ id, isAdmin: role !== 'participant', isSuperAdmin: role === 'superadmin' }));
      return { status: 200, groupInfo: { ...rest, desc, creation, participants, size: members.length } };
    },
  });
  define('WAWebGroupInviteJob', {
    joinGroupViaInvite: async (code) => ({ gid: wid((await change(null, { what: 'join', invite: code })).id) }),
    resetGroupInviteCode: async (id) => {
      await change(id, { what: 'invite', invite: '' });
      return { code: (await ask({ type: 'invite_of', id: id.toString() })).invite };
    },
  });
  define('WAWebMexFetchGroupInviteCodeJob', {
    fetchMexGroupInviteCode: async (id) => {
      const { invite } = await ask({ type: 'invite_of', id: id.toString() });
      if (!invite) throw new Error('not an admin');
      return invite;
    },
  });
  define('WAWebGroupModifyInfoJob', {
    setGroupSubject: (id, text) => change(id, { what: 'subject', text }),
    setGroupDescription: (id, text) => change(id, { what: 'description', text: text ?? '' }),
    // Answers in the same way when the network refuses.
    setGroupProperty: async (id, property, value) => {
      const what = { announcement: 'announce', restrict: 'restrict' }[property];
      await change(id, { what, on: !!value }).catch(() => {});
    },
  });
  define('WAWebGroupQueryJob', { queryAllGroups: async () => GroupCollection.getModelsArray().map(({ id }) => ({ id })) });
  define('WAWebUpdateDbForGroupActionApi', { updateDBForGroupAction: async () => {} });

  function setGroup({ id, subject, description, owner, created, announce, restrict, members }) {
    let group = GroupCollection.get(id);
    if (!group) {
      group = new GroupMetadata({ id: wid(id), stale: false });
      hide(group, 'participants', Object.assign(new Participants(), { own, group }));
      GroupCollection.add(group);
    }
    const memberAddMode = 'admin_add';
    group.set({ subject, desc: description || undefined, owner: wid(owner), creation: created, announce, restrict, memberAddMode });
    const { participants } = group;
    for (const one of participants.getModelsArray())
      if (!members.some((member) => member.id === one.id.toString())) participants.remove(one);
    for (const member of members) {
      const one = participants.get(member.id) || participants.add({ id: wid(member.id) });
      one.set({ isAdmin: member.role !== 'participant', isSuperAdmin: member.role === 'superadmin' });
    }
    const chat = chatOf(id);
    hide(chat, 'groupMetadata', group);
    chat.set({ name: subject, formattedTitle: subject, isReadOnly: !participants.iAmMember() });
  }
  function groupChanged({ group, what, by, people, at }) {
    setGroup(group);
    const meta = { author: wid(by), pushname: '', chatId: wid(group.id), ts: at };
    const participants = (what === 'join' ? [by] : people).map((id) => ({ id: wid(id) }));
    const action = { actionType: what === 'join' ? 'add' : what, isInvite: what === 'join', participants };
    // Through the module's exports, because wa-js wraps the function there.
    if (participants.length && what !== 'made') importNamespace('WAWebUpdateDbForGroupActionApi').updateDBForGroupAction(meta, action);
  }

  // ---- channels ----------------------------------------------------------------------------------------------
  define('WAWebNewsletterCollection', { default: NewsletterCollection });
  const inChannel = (id, what) => asked({ type: 'channel', id, change: what });
  // As the network's answers carry it, each field in a part of its own.
  const mixed = ({ id, name, description, inviteCode, creationTime, size }) => ({
    idJid: id, newsletterNameMetadataMixin: { nameElementValue: name },
    newsletterDescriptionMetadataMixin: { descriptionQueryDescriptionResponseMixin: { elementValue: description } },
    newsletterInviteLinkMetadataMixin: { inviteCode }, newsletterStateMetadataMixin: { stateType: 'active' },
    newsletterCreationTimeMetadataMixin: { creationTimeValue: creationTime }, newsletterSubscribersMetadataMixin: { subscribersCount: size },
  });
  define('WAWebNewsletterCreateQueryJob', {
    createNewsletterQuery: async ({ name, description }) =>
      mixed((await inChannel(null, { what: 'made', name, description: description ?? '' })).channels[0]),
  });
  define('WAWebNewsletterDeleteAction', { deleteNewsletter: async (id) => !!(await inChannel(id, { what: 'ended' })) });
  define('WAWebMexJoinNewsletterJob', { mexJoinNewsletter: (id) => inChannel(id, { what: 'follow', on: true }) });
  define('WAWebMexLeaveNewsletterJob', { mexLeaveNewsletter: (id) => inChannel(id, { what: 'follow', on: false }) });
  define('WAWebNewsletterMetadataQueryJob', {
    queryNewsletterMetadataByJid: async (id) => {
      const [channel] = (await ask({ type: 'channels', id })).channels;
      if (!channel) throw Object.assign(new Error('item-not-found'), { name: 'ServerStatusCodeError', status: 404 });
      return mixed(channel);
    },
  });
  define('WAWebMexFetchNewsletterDirectorySearchResultsJob', {
    mexFetchNewsletterDirectorySearchResults: async ({ searchText, limit, cursorToken }) => {
      const { channels } = await ask({ type: 'channels', id: null, text: searchText });
      const from = Number(cursorToken ?? 0);
      const result = channels.slice(from, from + limit).map(({ id, name, description, inviteCode, creationTime, size }) => ({
        id,
        thread_metadata: {
          name: { text: name }, description: { text: description }, invite: inviteCode, verification: 'UNVERIFIED',
          creation_time: String(creationTime), subscribers_count: String(size),
        },
      }));
      const page_info = { has_next_page: from + limit < channels.length, end_cursor: String(from + result.length) };
      return { xwa2_newsletters_directory_search: { result, page_info } };
    },
  });
  const mute = (on) => async (ids) => {
    const others = (kept.muted || []).filter((id) => !ids.includes(id));
    keep('muted', on ? [...others, ...ids] : others);
    return true;
  };
  define('WAWebNewsletterMuteAction', { muteNewsletter: mute(true) });
  define('WAWebNewsletterUnmuteAction', { unmuteNewsletter: mute(false) });
  function channelChanged({ id, channel }) {
    const known = NewsletterCollection.get(id);
    if (!channel || channel.membershipType === 'guest') return known && NewsletterCollection.remove(known);
    const model = known || NewsletterCollection.add(new Newsletter({ id: wid(id), isNewsletter: true }));
    model.set({ name: channel.name, formattedTitle: channel.name });
    hide(model, 'newsletterMetadata', new Model({ ...channel, id: wid(id), verified: false }));
  }

  // ---- chats -------------------------------------------------------------------------------------------------
  const archive = async (chat, on) => {
    const others = (kept.archived || []).filter((id) => id !== chat.id.toString());
    keep('archived', on ? [...others, chat.id.toString()] : others);
  };
  define('WAWebSetArchiveChatAction', { setArchive: archive });
  define('WAWebDeleteChatAction', {
    sendDelete(chat) {
      chat.promises.sendDelete = Promise.resolve({ status: 200 });
      queueMicrotask(() => importNamespace('WAWebChatCollection').ChatCollection.remove(chat));
    },
  });
  define('WAWebSendClearChatAction', {
    // wa-js looks for a name in the text of this function: WAWebStateUtils.
    sendClear: async function (chat) {
      'WAWebStateUtils';
      chat.msgs.getModelsArray().forEach((message) => chat.msgs.remove(message));
    },
  });

  // ---- presence ----------------------------------------------------------------------------------------------
  define('WAWebPresenceCollection', { PresenceCollection });
  function presenceOf(id) {
    const known = PresenceCollection.get(id);
    if (known) return known;
    const model = new Presence({ id: wid(id), isUser: !String(id).endsWith('@g.us'), isGroup: String(id).endsWith('@g.us'), hasData: false, isOnline: false });
    model.chatstate = new Model({ id: wid(id), type: undefined, t: undefined });
    hide(model, 'chatstates', new (collectionOf(Model))());
    model.subscribe = async () => tell({ type: 'watch', chat: String(id) });
    return PresenceCollection.add(model);
  }
  define('WAWebContactPresenceBridge', {
    subscribeUserPresence: async (id) => tell({ type: 'watch', chat: id.toString() }),
    subscribeGroupPresence: async (id) => tell({ type: 'watch', chat: id.toString() }),
  });
  // As the real page has it; the wire has the words of the protocol.
  const TYPES = { composing: 'typing', recording: 'recording_audio', paused: 'available' };
  function presence({ chat, who, state, seen }) {
    const model = presenceOf(chat);
    const type = TYPES[state] ?? state;
    model.set({ hasData: true, isOnline: type !== 'unavailable' });
    if (chat !== who) {
      const one = model.chatstates.get(who) || model.chatstates.add({ id: wid(who) });
      one.set({ type, t: seen }, { silent: true });
    }
    model.chatstate.set({ type, t: type === 'unavailable' ? seen : undefined }, { silent: true });
    PresenceCollection.trigger('change:chatstate.type', model.chatstate, type);
  }

  // ---- labels ------------------------------------------------------------------------------------------------
  Conn.isSMB = true;
  LabelCollection.findFirst = (test) => LabelCollection._all.find(test);
  LabelCollection.getNextAvailableColor = () => LabelCollection.length % COLORS.length;
  // Answers nothing; a failure is a notice on the screen.
  LabelCollection.addOrRemoveLabels = (changes, chats) => {
    const labelled = { ...kept.labelled };
    for (const chat of chats.map((one) => one.id.toString())) {
      const has = new Set(labelled[chat]);
      for (const { id, type } of changes) type === 'add' ? has.add(String(id)) : has.delete(String(id));
      labelled[chat] = [...has];
    }
    keep('labelled', labelled);
  };
  define('WAWebLabelCollection', { LabelCollection });
  define('WAWebListUtils', { colorIndexToHex: (index) => COLORS[index], getAllLabelColors: () => COLORS });
  const nextId = () => String(Math.max(0, ...(kept.labels || []).map(({ id }) => Number(id))) + 1);
  define('WAWebDBLabelDatabaseApi', { getNextLabelId: async () => nextId() });
  define('WAWebBizLabelEditingAction', {
    labelAddAction: async (name, color) => {
      const id = nextId();
      keep('labels', [...(kept.labels || []), { id, name, color }]);
      return id;
    },
    labelEditAction: async (id, name, _, color) =>
      keep('labels', (kept.labels || []).map((one) => (one.id === String(id) ? { ...one, name, color } : one))),
    labelDeleteAction: async ({ labelId }) => {
      LabelCollection.remove(LabelCollection.get(labelId));
      keep('labels', (kept.labels || []).filter(({ id }) => id !== String(labelId)));
    },
  });
  define('WAWebBizLabelUtils', {
    addToLabelCollection: async () => {}, removeLabelFromCollection: async () => {}, createLabelItemId() {},
    getParentCollection() {}, initializeLabels() {},
  });

  // ---- calls -------------------------------------------------------------------------------------------------
  const calls = new CallCollectionImpl();
  calls.processIncomingCall = (call) => calls.add(call);
  calls.activeCall = null;
  define('WAWebCallCollection', { CallCollectionImpl, CallCollection: calls });
  const CallState = { None: 0, ReceivedCall: 3, CallActive: 6, CallActiveElseWhere: 7, ReceivedCallWithoutOffer: 8, CallStateEnding: 13 };
  define('WAWebVoipWaCallEnums', { CallState });
  define('WAWebVoipStackInterface', {
    getVoipStackInterface: async () => ({ rejectCall: async () => tell({ type: 'reject', call: calls.activeCall?.id }) }),
  });
  function called({ id, from, state, video, at }) {
    const known = calls.get(id);
    if (state === 'ringing' && !known) {
      const call = new CallModel({ id, peerJid: wid(from), isVideo: video, isGroup: false, offerTime: at, outgoing: false, state: 3 });
      calls.activeCall = call;
      calls.processIncomingCall(call);
    } else if (known && state !== 'ringing') {
      known.setState(state === 'taken' ? CallState.CallActiveElseWhere : CallState.CallStateEnding);
      if (calls.activeCall === known) calls.activeCall = null;
    }
  }

  // ---- what the account keeps ------------------------------------------------------------------------------------
  const contacts = () => importNamespace('WAWebContactCollection').ContactCollection;
  const chats = () => importNamespace('WAWebChatCollection').ChatCollection;
  const apply = {
    name: (name) => Conn.set({ pushname: name ?? Conn.pushname }),
    contacts(named) {
      for (const [id, name] of Object.entries(named ?? {}))
        for (const one of [id, aliases.getCurrentLid(wid(id))].filter(Boolean)) {
          const contact = contacts().get(one) || contacts().add({ id: wid(one) });
          contact.set({ name, shortName: name.split(' ')[0], isMyContact: true });
        }
    },
    blocked(all) {
      const blocked = new Set(all);
      for (const one of BlocklistCollection.getModelsArray()) if (!blocked.has(one.id.toString())) BlocklistCollection.remove(one);
      for (const id of blocked) BlocklistCollection.get(id) || BlocklistCollection.add({ id: wid(id) });
      for (const contact of contacts().getModelsArray()) {
        const is = blocked.has(String(lidOf(contact.id)));
        if (!!contact.isContactBlocked !== is) contact.set({ isContactBlocked: is });
      }
    },
    archived(all) {
      for (const chat of chats().getModelsArray()) chat.set({ archive: (all || []).includes(chat.id.toString()) });
    },
    labels(all) {
      for (const one of LabelCollection.getModelsArray()) if (!(all || []).some(({ id }) => id === one.id)) LabelCollection.remove(one);
      for (const { id, name, color } of all || []) {
        const one = LabelCollection.get(id) || LabelCollection.add({ id, labelItemCollection: { _models: [] } });
        one.set({ name, colorIndex: color, hexColor: COLORS[color], type: 0 });
      }
      apply.labelled(kept.labelled);
    },
    labelled(all) {
      for (const chat of chats().getModelsArray()) {
        const wanted = (all?.[chat.id.toString()] || []).filter((id) => LabelCollection.get(id));
        chat.set({ labels: wanted });
      }
    },
  };
  function keptChanged({ key, value }) {
    kept[key] = value;
    apply[key]?.(value);
  }

  return {
    audience: () => audience, posted, pair, groupChanged,
    heard: { presence, kept: keptChanged, call: called, channel: channelChanged },
    ground({ groups, channels, kept: all }) {
      groups.forEach(setGroup);
      channels.forEach((channel) => channelChanged({ id: channel.id, channel }));
      for (const [key, value] of Object.entries(all ?? {})) keptChanged({ key, value });
    },
    // A chat that just came.
    dress(chat) {
      const id = chat.id.toString();
      chat.presence = presenceOf(id);
      chat.set({ archive: (kept.archived || []).includes(id), labels: kept.labelled?.[id] || [] });
    },
  };
}
