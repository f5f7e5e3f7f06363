"""Function words by language: what a language is told by, and what no search should turn on."""

_WORDS = {
    "en": """
        a about above after again against all also am an and any are aren as at be because been before being below
        between both but by can cannot could couldn d did didn do does doesn doing don down during each either else
        ever every few for from further get had hadn has hasn have haven having he her here hers herself him himself
        his how however i if in into is isn it its itself just ll m may me might more most much must my myself neither
        no nor not now of off on once only or other our ours ourselves out over own per quite rather re s same shall
        she should shouldn since so some such t than that the their theirs them themselves then there these they this
        those though through thus to too under until up upon us ve very was wasn we were weren what when where whether
        which while who whom whose why will with within without won would wouldn yet you your yours yourself
    """,
    "de": """
        aber alle allem allen aller alles als also am an ander andere anderen anderer anderes auch auf aus bei beim
        bereits bin bis bist da dabei dadurch daher damit dann das dass dasselbe davon dazu dein deine dem den denn
        der deren des dessen desto dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein eine
        einem einen einer eines einige einigen einiger einmal er es etwa etwas euch euer eure für gegen gewesen hab
        habe haben hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in indem ins ist
        jede jedem jeden jeder jedes jedoch jene kann kein keine keinem keinen keiner können könnte man manche mehr
        mein meine mich mir mit muss musste nach nachdem neben nicht nichts noch nun nur ob obwohl oder ohne sehr sein
        seine seinem seinen seiner seit selbst sich sie sind so sodass sogar solche soll sollte sondern sonst sowie
        sowohl um und uns unser unsere unter vom von vor wann war waren warum was weder weil welche welchem welchen
        welcher welches wenn wer werde werden wessen wie wieder will wir wird wo wobei woher wohin worden wurde wurden
        während würde zu zum zur zwar zwischen über
    """,
    "fr": """
        a afin ai aient ainsi ait alors après as au aucun aucune aura auront aussi autre autres aux avait avant avec
        avez avoir avons ayant c car ce ceci cela celle celles celui ces cet cette ceux chaque chez ci comme comment d
        dans de depuis des donc dont du elle elles en encore entre es est et eu eux fait furent fut ici il ils j je
        jusqu l la laquelle le lequel les lesquelles lesquels leur leurs lors lorsque lui m ma mais me même mes moi
        moins mon n ne ni non nos notre nous on ont ou où par parce pas pendant peut plus pour pourquoi puis qu quand
        que quel quelle quelles quels qui quoi s sa sans se selon sera seront ses si son sont sous sur t ta tandis te
        tes toi ton tous tout toute toutes très tu un une vers vos votre vous y à étaient était étant été être
    """,
    "es": """
        a al algo alguna algunas alguno algunos ante antes aquel aquella aquí así aunque bajo bien cada como con
        contra cual cuales cuando cuál cuáles cuándo cuánto cuántos cómo de del desde donde durante dónde e el ella
        ellas ellos en entre era eran eres es esa esas ese eso esos esta estaba estado estamos estar estas este esto
        estos está están fue fueron ha haber había habían han hasta hay la las le les lo los luego me mi mientras mis
        mucho muchos muy más nada ni no nos nosotros o os otra otras otro otros para pero poco por porque pues que
        quien quienes qué quién se sea sean según ser será si sido sin sobre solo son su sus sí también tan tanto te
        tenía tiene tienen todo todos tras tu tus un una unas uno unos usted ustedes y ya yo él
    """,
    "it": """
        a ad agli ai al alla alle allo anche ancora aveva avevano avere c che chi ci come con contro cosa cui d da
        dagli dai dal dalla dalle dallo degli dei del della delle dello dentro di dopo dove dunque durante e ed era
        erano essere fino fra fu furono già gli ha hanno ho i il in io l la le lei li lo loro lui ma me mentre mi mia
        mie miei mio molto ne negli nei nel nella nelle nello noi non nostra nostro o ogni oppure per perché perciò
        più poi prima qual quale quali quando quanto quanti quella quelle quelli quello questa queste questi questo se
        secondo sei sempre senza si sia siamo siano sono sotto sta stata stati stato su sua sue sugli sui sul sulla
        sulle sullo suo suoi tra tu tua tuo tutta tutti tutto un una uno vi voi è
    """,
    "pt": """
        a ao aos aquela aquele as assim até cada com como contra da das de dela dele deles depois desde do dos durante
        e ela elas ele eles em entre era eram essa essas esse esses esta estas estava este estes está estão eu foi
        foram há isso isto já lhe mais mas me mesmo meu minha muito na nas nem no nos nossa nosso não num numa nós o
        onde os ou outra outras outro outros para pela pelas pelo pelos por porque porém pois qual quais quando quanto
        quantos que quem se sem sendo ser será seu seus sido sob sobre somente sua suas são só também te tem tinha têm
        tudo um uma umas uns você vocês à às é
    """,
    "nl": """
        aan af al alle allemaal als altijd ander andere ben bij daar dan dat de deze die dit doch doen door dus een
        eens elk elke en enkele er ge geen geweest haar had hadden heb hebben heeft hem het hier hij hoe hoeveel hun
        ik in is ja je jij jou jouw jullie kan kon kunnen maar me meer men met mij mijn moet moeten na naar niet niets
        nog nu of om omdat onder ons onze ook op over reeds sinds te tegen tijdens toch toen tot tussen u uit uw van
        vanaf veel voor waar waarom wanneer want waren was wat we weer welke wel werd werden wie wij wil worden wordt
        zal ze zelf zich zij zijn zo zonder zou zullen
    """,
    "sv": """
        alla allt att av blev bli blir de dem den denna deras dess dessa det detta dig din ditt dock du där efter
        eller en ett från för före ha hade han hans har henne hennes hon honom hur här i icke inom inte ja jag kan
        kunde man med mellan men mig min mitt mot mycket ni nu när någon något några och om oss på samma sedan sig sin
        sina sitt ska skulle som så till under upp ut utan vad var vara varför varit vem vi vid vilka vilken vilket
        vår våra än är även över
    """,
    "da": """
        af alle alt anden at blev blive bliver da de dem den denne der deres det dette dig din disse dog du efter
        eller en end er et for fordi fra få får før gennem ham han hans har havde have hende hendes her hun hvad hvem
        hver hvilke hvilken hvis hvor hvordan hvorfor hvornår ikke ind jeg jo kan kun kunne man mange med meget mellem
        men mig min mod ned noget nogle når og også om op os over på samt selv sig sin sit skal skulle som sådan til
        ud under var ved vi vil ville være været
    """,
    "no": """
        alle at av begge ble bli blir bort da de dem den denne der deres det dette deg din disse du eller en enn er et
        etter for fordi fra før gjennom ha hadde han hans har henne hennes her hun hva hvem hver hvilke hvilken hvis
        hvor hvordan hvorfor i ikke inn ja jeg kan kom kun kunne man mange med meg mellom men min mot mye noe noen nå
        når og også om opp oss over på samme seg selv siden sin sitt skal skulle slik som så til um under uten ut var
        ved vi vil ville være vært vår
    """,
    "fi": """
        ei eivät eli että hän häneen hänen ja jo joita joka jonka jos jossa jota joten jotka kaikki kanssa keitä
        keiden koska kuin kuinka kuka kun me mikä mitkä mitä missä minkä minä mukaan mutta myös ne niiden niin niitä
        nyt näiden nämä ole oli olivat olla ollut on ovat se sekä sen siinä sillä sinä sitä tai tämä tämän tätä vaan
        vai vaikka voi voidaan
    """,
    "pl": """
        a aby albo ale ani aż bardzo bez będzie był była było były być bo by ci co czy czyli czym dla do dlaczego gdy
        gdzie go i ich ile im innych ja jak jaka jakie jaki jako je jednak jego jej jest jeszcze jeśli już każdy kiedy
        kto która które którego której którzy który którym lub ma mają może można mu na nad nam nas nie nich niż o od
        oraz po pod podczas ponieważ przed przez przy się są tak także tam te tego tej ten to tu tych tylko tym u w we
        więc wszystkie z za ze że żeby
    """,
    "cs": """
        a aby aj ale ani až by byl byla bylo byly být co což další do i já jak jaká jaké jaký jako je jeho jejich její
        jen ještě jsem jsme jsou již k kde kdo kdy když ke která které který kteří ma mezi mohou můžete může na nad
        nebo neboť nejsou není než o od po pod podle pokud pouze pro proč proto před přes při s se si své ta tak také
        takže tato tedy ten tento této to tohoto tom tomto toto tu tyto už v ve však z za ze že
    """,
    "ro": """
        a acea aceasta această aceste acest acestea acesta ai al ale am ar are au avea avut ca care cât ce cel cele
        cea cei cine cu cum că când către de despre din dintre doar dacă după ea ei el este eu fi fie fiind fost în
        iar îi își la le lor lui mai mult nu o ori pe pentru până prin sa sale sau se sunt să său toate tot un unde
        unei unor unui va vor și între
    """,
    "hu": """
        a az ahogy aki akik akkor alatt általában amely amelyek amelyet ami amikor annak arra azok azon azonban azt
        azért be csak de e egy egyes egyik el ez ezek ezen ezt ezért és fel hanem ha hogy hogyan hol is itt ki kell
        keresztül kérem le legyen lehet lesz lett már meg melyik mert mi miért mikor milyen mint minden mit még nagyon
        nem nincs ő ott össze pedig s sem szerint szét ti többek után utána vagy vagyok van vannak vele volt voltak
        által át
    """,
    "tr": """
        acaba ama ancak artık aslında bazı beri bile bir birçok biri biz bu buna bunlar bunu bunun böyle da daha de
        defa değil diye en gibi göre hangi hem hep her hiç için ile ise işte kadar kendi kim ki kez mi mu mü mı nasıl
        ne neden nerede niçin o olan olarak oldu olduğu olması olur on ona onlar onu onun sadece sonra tarafından tüm
        ve veya ya yani zaman çok çünkü önce üzere şey şu
    """,
    "id": """
        ada adalah agar akan aku anda antara apa apakah atas atau bagi bagaimana bahwa banyak beberapa bisa boleh
        bukan dalam dan dapat dari dengan di dia hanya harus ia ini itu jika juga kami kapan karena ke kepada ketika
        kita lain lebih masih mereka mengapa namun oleh pada para saat saja sangat saya sebagai sebuah secara sedang
        seperti serta setelah siapa sudah telah tetapi tidak untuk yaitu yang
    """,
    "ru": """
        а без более больше бы был была были было быть в вам вас ведь во вот все всего всех вы где да даже для до его
        ее если есть еще же за здесь и из или им их к как какая какие какой какого когда которая которого которой
        которые который которых кто куда ли либо между меня мне может можно мы на над надо нас не него нее нет ни них
        но ну о об он она они оно от очень по под после потом потому почему при про с сам свою себя сколько со так
        также такой там тем теперь то того тоже только том тот ты у уже хотя чего чей чем через что чтобы чья эта эти
        это этого этой этом этот я
    """,
    "uk": """
        а або але без більше б бо був була були було бути в вас весь ви від він вона вони воно все всіх де для до дуже
        же за з зі і із інші її й його їх коли котрий куди ким лише між мене ми може можна на навіть нас над не немає
        ні ній них о об по під після при про саме себе скільки та так також там те тепер ти тільки то того тоді тому
        тут у хто це цей ця ці цього цієї чи чого чому що щоб як яка яке який яких які якого якщо є
    """,
    "el": """
        αλλα αν απο αυτα αυτεσ αυτη αυτο αυτοι αυτος αυτου για δεν εγω ειμαι ειναι εκεινα εκεινη εκεινο ενα ενας επι
        εχει η ηταν θα και κατα κι μας με μετα μη μην μια μου ο οι ολα ολοι οπου οπως οτι ου παρα ποια ποιο ποιος ποτε
        που προς πως σαν σας σε στα στη στην στις στο στον στους στου τα την της τι τις το τον τοτε του τους των ως
    """,
    "ar": """
        في من على إلى الى عن مع هذا هذه ذلك تلك التي الذي الذين ما ماذا هو هي هم أن إن كان كانت قد لا لم لن كل بعد قبل
        بين حيث أو او ثم كما عند منذ حتى أي كيف متى أين لماذا هل كم نحن أنا أنت هناك غير سوى لكن بل و
    """,
    "fa": """
        از به در با برای که این آن را است بود شد شده می ها های هم یا و تا بر نیز اما اگر چه چرا کجا کی چگونه کدام هر
        همه خود او ما شما آنها من تو باید یک دو بین پس پیش نه نیست بودند شدند دارد کرد کرده
    """,
    "he": """
        של את על לא זה זו עם הוא היא הם הן אני אתה אנחנו כי גם או אם אבל רק כל יש אין היה היו מה מי איך למה מתי איפה
        כמה אל בין עד לפני אחרי כן אשר
    """,
    "hi": """
        का के की को में से है हैं था थे थी और या पर यह वह ये वे जो कि ने भी ही तो नहीं एक इस उस इन उन हो कर लिए साथ तक
        क्या कौन कब कहाँ क्यों कैसे कितने अपने अपनी
    """,
}

STOPWORDS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
"""Language (ISO 639-1) to its function words, in lower case."""
