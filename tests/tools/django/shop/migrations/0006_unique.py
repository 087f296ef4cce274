from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0005_drop")]
    operations = [
        migrations.AlterField("label", "name", models.CharField(max_length=50, unique=True)),
        migrations.AddConstraint(
            "book",
            models.UniqueConstraint(fields=["author", "title"], name="one_title_an_author"),
        ),
    ]
